#!/usr/bin/env perl
# Writes src/model/text/unicode_categories_table.cc from the Unicode Character Database inside Perl.
#
#   tools/make_unicode_categories.pl >src/model/text/unicode_categories_table.cc
#
# Needs a Perl whose database is of version 15.1 or newer (Perl 5.42 or later); characters that came after 15.1, the
# version of llama.cpp's tables, count as unassigned.
use strict;
use warnings;
no warnings qw(surrogate nonchar non_unicode);

my @categories = (
  [space => qr/\p{White_Space}/], [number => qr/\p{N}/], [letter => qr/\p{L}/], [punctuation => qr/\p{P}/],
  [mark => qr/\p{M}/], [symbol => qr/\p{S}/]);

sub category_of {
  my $character = chr shift;
  return 'other' unless $character =~ /\p{Present_In: 15.1}/;
  for my $category (@categories) {
    return $category->[0] if $character =~ $category->[1];
  }
  return 'other';
}

print <<'END';
// Written by tools/make_unicode_categories.pl; do not edit.
#include "model/text/unicode_categories.h"

namespace tessera::model {
namespace {

using enum UnicodeCategory;

constexpr UnicodeRange kRanges[] = {
END
my $last = '';
my $line = '   ';
for my $code_point (0 .. 0x10FFFF) {
  my $category = category_of($code_point);
  next if $category eq $last;
  my $entry = sprintf ' {0x%X, %s},', $code_point, $category;
  if (length($line . $entry) > 110) { print "$line\n"; $line = '   '; }
  $line .= $entry;
  $last = $category;
}
print "$line\n};\n\n}  // namespace\n\nstd::span<const UnicodeRange> unicode_ranges() { return kRanges; }\n\n}  // namespace tessera::model\n";
