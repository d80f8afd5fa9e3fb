// The typed errors of the library.
//
// User mistakes and bad files throw one of these; broken invariants assert. Every message names the file, the
// tensor and the byte offset where they apply, and says what to do. The library never prints, aborts or
// exits: the command line maps each kind to its exit code.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace tessera {

/// Base of all errors Tessera throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The request itself is wrong: an unknown type name, an output that is the input. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Where in a file something is wrong. Empty fields do not apply and are not printed.
struct FilePlace {
  std::string file;
  std::string tensor = {};
  std::optional<std::uint64_t> offset = std::nullopt;  ///< bytes from the start of the file
};

/// An input file is damaged, unsupported or inconsistent. Exit code 3.
class BadFileError : public Error {
 public:
  /// `what_is_wrong` says what was found, what was expected and, where there is one, the remedy.
  BadFileError(FilePlace place, const std::string& what_is_wrong);
  const FilePlace& place() const { return place_; }

 private:
  FilePlace place_;
};

/// The operating system refused an operation on a file (not found, no space left, no permission). Exit code 1
/// for outputs; for inputs that cannot be opened the reader throws BadFileError instead.
class IoError : public Error {
 public:
  /// `error_number` is errno of the failed call.
  IoError(const std::string& file, const std::string& operation, int error_number);
};

/// The run was asked to stop (SIGINT, SIGTERM); what is finished is kept. Exit code 4.
class InterruptedError : public Error {
 public:
  using Error::Error;
};

}  // namespace tessera
