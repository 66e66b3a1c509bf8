//! (being written)
/// Settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {}
impl Settings {
    /// Host and port.
    pub fn address(&self) -> String {
        String::new()
    }
}
