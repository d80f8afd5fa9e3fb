// Where Tessera keeps what it can make again, and how a file gets there.
//
// The place follows the XDG base directory specification 0.8: $XDG_CACHE_HOME/tessera when the variable holds
// an absolute path, else ~/.cache/tessera. Several processes may use it at the same time: files are written
// under a name of their own and renamed, so that a reader finds a whole file or none.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>

#include "foundation/base/atomic_file.h"

namespace tessera::pipeline {

/// Empty when the environment names no place (neither XDG_CACHE_HOME nor HOME is set).
std::optional<std::filesystem::path> default_cache_folder();

/// Makes `target` (and its folder) from what `write` puts into the file it is given. The content is durable
/// before the name appears. Throws UsageError or IoError, and leaves nothing behind then.
void write_cache_file(const std::filesystem::path& target, const std::function<void(AtomicFile&)>& write);

/// Removes the files in `folder` that were changed longest ago until the rest has at most `max_bytes` in at
/// most `max_files` files; files that another process is writing stay for an hour. What cannot be removed,
/// stays.
void trim_cache_folder(const std::filesystem::path& folder, std::uint64_t max_bytes, std::size_t max_files);

}  // namespace tessera::pipeline
