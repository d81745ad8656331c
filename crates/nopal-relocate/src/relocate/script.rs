//! Scripts that find their interpreter from wherever they are.

use super::{Kind, RelocateError, Verdict, Work};

impl Work {
    /// Has scripts start by a launcher.
    pub(super) fn scripts(&mut self) -> Result<(), RelocateError> {
        for below in self.of_kind(Kind::Script) {
            self.found(&below, Verdict::Stays("scripts are not done yet".to_owned()));
        }
        Ok(())
    }
}
