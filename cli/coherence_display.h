// Shows a comparison of texts to a person: the verdict, the figures, and the texts side by side.
#pragma once

#include "artifacts/coherence.h"

namespace tessera::cli {

/// Prints verdict, reasons and figures, and the texts as well where `shows_texts`.
void print_coherence(const Coherence& coherence, bool shows_texts);

}  // namespace tessera::cli
