//! Versions: numbers compared number by number, so that `1`, `001` and `1.0` are the same.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a migration. Shown as its canonical form: no leading zeros, no trailing `.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(
    /// Without trailing zeros, but for the first number.
    Vec<Number>,
);

/// A number without leading zeros, of any length: some histories have twenty digits and more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Number {
    /// Nearly all are.
    Small(u64),
    /// What is above 2^64.
    Big(Digits),
}

/// The digits of a number, the first of which is not zero: the longer one is the greater.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Digits(Box<str>);

impl Ord for Digits {
    fn cmp(&self, other: &Digits) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Digits) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Number {
    const ZERO: Number = Number::Small(0);

    /// `None` for what is no number.
    fn read(text: &str) -> Option<Number> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.trim_start_matches('0');
        Some(match text.parse() {
            Ok(number) => Number::Small(number),
            Err(_) => Number::Big(Digits(digits.into())),
        })
    }

    fn next(&self) -> Number {
        match self {
            Number::Small(number) if *number < u64::MAX => Number::Small(number + 1),
            number => {
                let digits = number.to_string();
                let kept = digits.trim_end_matches('9');
                let nines = digits.len() - kept.len();
                let (head, last) = kept.split_at(kept.len().saturating_sub(1));
                let last = last.bytes().next().map_or(1, |digit| digit - b'0' + 1);
                Number::Big(Digits(format!("{head}{last}{}", "0".repeat(nines)).into()))
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Small(number) => number.fmt(f),
            Number::Big(Digits(digits)) => f.pad_integral(true, "", digits),
        }
    }
}

impl Version {
    /// Before the first.
    pub fn zero() -> Version {
        Version(vec![Number::ZERO])
    }

    fn of(mut parts: Vec<Number>) -> Version {
        let end = parts.iter().rposition(|part| *part != Number::ZERO).map_or(1, |at| at + 1);
        parts.truncate(end);
        Version(parts)
    }

    /// The version that comes after it, by its first number: what `new` counts up.
    pub fn next_major(&self) -> Version {
        Version(vec![self.0[0].next()])
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let parts: Option<Vec<Number>> = text.split(['.', '_']).map(Number::read).collect();
        let wrong = || format!("`{text}` is not a version: numbers separated by `.` or `_`");
        parts.map(Version::of).ok_or_else(wrong)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(Number::to_string).collect();
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
        let sorted = [
            "1",
            "1.1",
            "1.2",
            "1.10",
            "2",
            "10",
            "20261120093000",
            "18446744073709551615",
            "018446744073709551616",
            "20260100000001000000",
            "20260100000001000000.1",
            "99999999999999999999",
            "100000000000000000000",
        ];
        for pair in sorted.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn of_any_length() {
        for (text, next) in [
            ("1", "2"),
            ("1.9", "2"),
            ("18446744073709551615", "18446744073709551616"),
            ("99999999999999999999", "100000000000000000000"),
            ("123456789012345678999", "123456789012345679000"),
        ] {
            assert_eq!(version(text).next_major().to_string(), next);
        }
        let long = "9".repeat(200);
        assert_eq!(version(&format!("000{long}.0")).to_string(), long);
    }

    #[test]
    fn refuses_what_is_no_number() {
        for wrong in ["", "a", "1.", "1..2", "-1", "+1", "1-2"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn shown_form_reads_back_the_same(parts in proptest::collection::vec("[0-9]{1,30}", 1..5)) {
            let made = version(&parts.join("."));
            proptest::prop_assert_eq!(version(&made.to_string()), made);
        }
    }
}
