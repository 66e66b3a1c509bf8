//! Functions and procedures.

use super::{each, rights, statement, values};
use crate::stores::remedy::{Drifted, Remedy, Sql, Way};

/// Bodies are not checked (`check_function_bodies` is off in the environment of a repair), so that the
/// order of functions that call each other does not matter.
pub(super) fn routine(object: &Drifted<'_>) -> Remedy {
    let create = statement(object.text("definition"));
    if object.is_absent() {
        return Remedy::sql(create);
    }
    let rest = each(object, |attribute, _| match attribute {
        "definition" => Ok(String::new()),
        attribute => Err(values(attribute)),
    });
    if rest.sql.is_empty() {
        return rest;
    }
    let drop = format!("DROP {} {};\n", object.kind.to_uppercase(), object.name);
    let anew =
        Way { sql: format!("{drop}{create}"), carried: rights::carried(object), ..Way::default() };
    Remedy { sql: Sql::ways([Way::new(create), anew]), ..rest }
}
