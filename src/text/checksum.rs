//! Checksums of files, immune to what editors and git do to line endings.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A checksum with its algorithm, `sha256:<hex>`, so that the algorithm can change one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checksum(String);

impl Checksum {
    /// SHA-256 of `text`, which has been [`normalized`].
    pub fn of(text: &str) -> Checksum {
        Checksum::of_bytes(text.as_bytes())
    }

    /// SHA-256 of what is no text.
    pub fn of_bytes(bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// A checksum as it was stored.
    pub fn stored(text: impl Into<String>) -> Checksum {
        Checksum(text.into())
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, enough to tell two apart in a message.
    pub fn short(&self) -> &str {
        let end = self.0.find(':').map_or(8, |colon| colon + 9).min(self.0.len());
        self.0.get(..end).unwrap_or(&self.0)
    }
}

/// Makes the checksum of a text that comes in pieces.
#[derive(Clone, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn finish(self) -> Checksum {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.0.finalize() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Checksum(text)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text without a leading byte order mark and with CRLF turned into LF; nothing else changes.
pub fn normalized(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.contains('\r') {
        true => text.replace("\r\n", "\n"),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_and_bom_do_not_count() {
        let unix = Checksum::of(&normalized("select 1;\nselect 2;\n"));
        assert_eq!(Checksum::of(&normalized("\u{feff}select 1;\r\nselect 2;\r\n")), unix);
        assert_ne!(Checksum::of(&normalized("select 1;select 2;\n")), unix);
        assert_ne!(Checksum::of(&normalized("select 1;\rselect 2;\n")), unix);
    }

    #[test]
    fn is_sha256_in_hex() {
        assert_eq!(
            Checksum::of("").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
