//! Editing files, sound ones and such that lie.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nopal_fuzz::edits::{PLAN_BYTES, edit_any, edit_sound, plan};
use nopal_fuzz::{EDITABLE, editable};

fuzz_target!(|data: &[u8]| {
    let (file, edits) = data.split_at(data.len().saturating_sub(PLAN_BYTES));
    let edits = plan(edits);
    match file {
        // no file is that short
        [low, high] => edit_sound(editable(usize::from(u16::from_le_bytes([*low, *high])) % EDITABLE), &edits),
        _ => edit_any(file.to_vec(), &edits),
    }
});
