//! Writes what fuzzing begins with into `corpus`, beside this crate's manifest.

use std::fs;
use std::path::Path;

use nopal_fuzz::edits::PLAN_BYTES;
use nopal_fuzz::{EDITABLE, editable, readable};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: String, bytes: &[u8]| {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    for (number, file) in readable().iter().enumerate() {
        write("elf_read", format!("readable-{number}"), file)?;
    }
    for number in 0..EDITABLE {
        let file = editable(number);
        write("elf_read", format!("editable-{number}"), &file)?;
        // a plan for each edit: the first byte of four chooses among them
        let plan: Vec<u8> = (0..PLAN_BYTES).map(|at| (number * 37 + at * 101) as u8).collect();
        write("elf_edit", format!("lies-{number}"), &[&file[..], &plan].concat())?;
        write("elf_edit", format!("sound-{number}"), &[&(number as u16).to_le_bytes()[..], &plan].concat())?;
    }
    Ok(())
}
