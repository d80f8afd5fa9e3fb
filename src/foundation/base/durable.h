// Making what was written survive a power failure.
#pragma once

#include <filesystem>

namespace tessera {

/// Waits until the content of this file is on the disk. Throws IoError.
void make_file_durable(const std::filesystem::path& file);

/// The same for the names in this folder: a new or renamed file is durable only once its folder is. Where a
/// file system does not allow it, nothing happens; the files themselves are safe then.
void make_names_durable(const std::filesystem::path& folder);

}  // namespace tessera
