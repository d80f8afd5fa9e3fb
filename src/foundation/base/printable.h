// Names found in files, made fit for messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

/// `untrusted` with control characters and invalid UTF-8 bytes written as \xNN, cut after `max_bytes` bytes
/// (marked by "..."), so that a hostile name can neither flood a message nor steer a terminal.
std::string printable(std::string_view untrusted, std::size_t max_bytes = 100);

}  // namespace tessera
