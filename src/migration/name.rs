//! File names: `V1__first.sql`, `U1__first.sql`, `R__views.sql`.

use super::Version;
use crate::stores::StoreKind;

/// What a migration file's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// `V<version>__<description>`: applied once.
    Versioned(Version, String),
    /// `U<version>__<description>`: undoes that version.
    Undo(Version, String),
    /// `R__<description>`: applied again whenever it changes.
    Repeatable(String),
}

impl FileName {
    /// Reads the name of a file in the folder of `store`; an error says what does not fit.
    pub fn parse(name: &str, store: StoreKind) -> Result<FileName, String> {
        let extensions = store.extensions();
        let stem = extensions
            .iter()
            .find_map(|extension| name.strip_suffix(extension)?.strip_suffix('.'))
            .ok_or_else(|| {
                format!("a {store} migration ends in `.{}`", extensions.join("`, `."))
            })?;
        let (prefix, description) = stem.split_once("__").ok_or(SHAPE)?;
        if description.trim_matches('_').is_empty() {
            return Err(SHAPE.to_string());
        }
        let description = description.replace('_', " ").trim().to_string();
        if prefix == "R" {
            return Ok(FileName::Repeatable(description));
        }
        let version = |digits: &str| digits.parse::<Version>();
        match (prefix.strip_prefix('V'), prefix.strip_prefix('U')) {
            (Some(digits), _) => Ok(FileName::Versioned(version(digits)?, description)),
            (_, Some(digits)) => Ok(FileName::Undo(version(digits)?, description)),
            (None, None) => Err(SHAPE.to_string()),
        }
    }
}

const SHAPE: &str =
    "its name is `V<version>__<description>`, `U<version>__<description>` or `R__<description>`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_kinds() {
        let parse = |name| FileName::parse(name, StoreKind::of_test("postgres"));
        let version = |text: &str| text.parse::<Version>().expect(text);
        assert_eq!(
            parse("V001__create_users.sql"),
            Ok(FileName::Versioned(version("1"), "create users".into()))
        );
        assert_eq!(parse("V1_2__x.sql"), Ok(FileName::Versioned(version("1.2"), "x".into())));
        assert_eq!(parse("U2.1__x.sql"), Ok(FileName::Undo(version("2.1"), "x".into())));
        assert_eq!(parse("R__views.sql"), Ok(FileName::Repeatable("views".into())));
    }

    #[test]
    fn refuses_all_others() {
        for name in [
            "V1_create.sql",
            "v1__x.sql",
            "V__x.sql",
            "V1__.sql",
            "V1__x.txt",
            "V1__x",
            "1__x.sql",
            "R1__x.sql",
            "V1-2__x.sql",
            "U__x.sql",
            "README.md",
            "V1__x.json5",
            "V1__x.sql.bak",
        ] {
            assert!(FileName::parse(name, StoreKind::of_test("postgres")).is_err(), "{name}");
        }
        assert!(FileName::parse("V1__x.sql", StoreKind::of_test("kafka")).is_err());
        assert!(FileName::parse("V1__x.json5", StoreKind::of_test("kafka")).is_ok());
    }
}
