//! Functions and procedures.

use super::{each, rights, statement};
use crate::stores::remedy::{Drifted, Remedy, Sql, Way};

/// Bodies are not checked (`check_function_bodies` is off in the environment of a repair), so that the
/// order of functions that call each other does not matter.
pub(super) fn routine(object: &Drifted<'_>) -> Remedy {
    let create = statement(object.text("definition"));
    if object.is_absent() {
        let sql = format!("{create}{}", rights::recorded(object));
        return rights::unrecorded(object, Remedy::sql(sql));
    }
    let rest = each(object, |attribute, change| match attribute {
        "definition" => Ok(String::new()),
        attribute => rights::of(object, attribute, change),
    });
    let Some(rest_of_it) = rest.sql.ways.first().map(|way| way.sql.clone()) else { return rest };
    if !object.differs_in("definition") {
        return rest;
    }
    let drop = format!("DROP {} {};\n", object.kind.to_uppercase(), object.name);
    let anew = Way { sql: format!("{drop}{create}{rest_of_it}"), carried: rights::carried(object) };
    Remedy { sql: Sql::ways([Way::new(format!("{create}{rest_of_it}")), anew]), ..rest }
}
