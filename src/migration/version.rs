//! Versions: numbers compared number by number, so that `1`, `001` and `1.0` are the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a migration. Shown as its canonical form: no leading zeros, no trailing `.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(
    /// Without trailing zeros, but for the first number.
    Vec<u64>,
);

impl Version {
    /// Before the first.
    pub fn zero() -> Version {
        Version(vec![0])
    }

    fn of(mut parts: Vec<u64>) -> Version {
        let end = parts.iter().rposition(|part| *part != 0).map_or(1, |at| at + 1);
        parts.truncate(end);
        Version(parts)
    }

    /// The first number: what `new` counts up.
    pub fn major(&self) -> u64 {
        self.0[0]
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let parts: Result<Vec<u64>, String> = text
            .split(['.', '_'])
            .map(|part| {
                let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                match part.parse() {
                    Ok(number) if digits => Ok(number),
                    _ if digits => Err(format!("version `{text}` has a number above 2^64")),
                    _ => Err(format!("`{text}` is not a version: numbers separated by `.` or `_`")),
                }
            })
            .collect();
        Ok(Version::of(parts?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.pad(&parts.join("."))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Version, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn equal_however_written() {
        for same in ["1", "001", "1.0", "1_0", "1.0.0"] {
            assert_eq!(version(same), version("1"), "{same}");
            assert_eq!(version(same).to_string(), "1");
        }
        assert_eq!(version("0.0"), version("0"));
    }

    #[test]
    fn ordered_by_number() {
        let sorted = ["1", "1.1", "1.2", "1.10", "2", "10", "20261120093000"];
        for pair in sorted.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for wrong in ["", "a", "1.", "1..2", "-1", "+1", "1-2", "99999999999999999999"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn shown_form_reads_back_the_same(parts in proptest::collection::vec(0u64..2000, 1..5)) {
            let made = Version::of(parts);
            proptest::prop_assert_eq!(version(&made.to_string()), made);
        }
    }
}
