//! (being written)
use super::{Store, StoreError};
use crate::migration::{Node, ScriptError};
use crate::secret::Secret;
use crate::tls::TlsFiles;
use serde_json::Value;
use std::time::Duration;
/// Settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub url: String,
    pub api_key: Secret,
    pub tls: TlsFiles,
    pub connect_timeout: Option<Duration>,
    pub request_timeout: Option<Duration>,
}
impl Settings {
    /// Host and port.
    pub fn address(&self) -> String {
        String::new()
    }
}
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
impl Step {
    /// Reads one.
    pub fn parse(_node: &Node) -> Result<Step, ScriptError> {
        Ok(Step {})
    }
    /// Label.
    pub fn label(&self) -> String {
        String::new()
    }
    /// Inverse.
    pub fn inverse(&self, _before: &Value) -> Result<Vec<Value>, String> {
        Ok(vec![])
    }
    /// Declares.
    pub fn declares(&self) -> Vec<(String, Option<crate::shape::Attributes>)> {
        vec![]
    }
}
