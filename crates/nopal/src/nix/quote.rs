//! Words as a shell reads them.

/// A word in single quotes.
pub(crate) fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
