//! (being written)
use super::{Store, StoreError, Unit};
use crate::migration::{Rendered, Script, ScriptError};
use crate::postgres::Settings;
/// Connects.
pub async fn connect(
    _settings: &Settings,
    _application: &str,
) -> Result<Box<dyn Store>, StoreError> {
    Err(StoreError::refused("being written"))
}
/// A step.
#[derive(Clone, Debug)]
pub struct Step {}
/// Parses.
pub fn parse(_script: &Script, _text: &Rendered) -> Result<Vec<Unit>, ScriptError> {
    Ok(vec![])
}
