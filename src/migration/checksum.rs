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
        let digest = Sha256::digest(text.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Checksum(format!("sha256:{hex}"))
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

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text without a leading byte order mark and with CRLF turned into LF; nothing else changes.
pub fn normalized(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
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
