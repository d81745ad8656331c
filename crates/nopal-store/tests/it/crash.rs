//! Processes killed at any moment. The test program starts itself again as the victim.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nopal_format::{Hash, HashAlgorithm, PathInfo, StorePath};
use nopal_store::{AddOptions, Additions, BuiltOutput, GcOptions, Store, StoreError, TextToAdd, scan_tree};

use crate::support::{config, objects_on_disk, open, sample_tree};

/// What the victim does, and where: `ROLE:SEED:DIRECTORY`.
const VICTIM: &str = "NOPAL_STORE_VICTIM";

/// More kills, for a night.
const LONG: &str = "NOPAL_LONG";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Add,
    Build,
    Collect,
}

impl Role {
    const ALL: [Self; 3] = [Self::Add, Self::Build, Self::Collect];

    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Build => "build",
            Self::Collect => "collect",
        }
    }
}

/// A small generator: the kills of a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn kills_per_role() -> usize {
    if std::env::var_os(LONG).is_some() { 510 } else { 14 }
}

fn start(role: Role, seed: u64, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::victim", "--nocapture"]);
    command.env(VICTIM, format!("{}:{seed}:{}", role.name(), dir.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.process_group(0).spawn().unwrap()
}

fn kill(mut child: Child, role: Role) {
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "the {} victim failed by itself: {said}", role.name());
}

#[test]
fn killed_processes_leave_a_good_store() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    sample_tree(&tree);
    // larger than what is kept in memory, so that kills hit trees half written
    fs::write(tree.join("block"), (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    drop(open(&dir.path().join("nopal")));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut killed = [0; 3];
    let began = Instant::now();
    while killed.iter().any(|count| *count < kills_per_role()) {
        let seed = random.next(u64::MAX);
        // all at once, so that each works while another dies
        let mut children: Vec<(usize, Child)> =
            Role::ALL.iter().enumerate().map(|(i, role)| (i, start(*role, seed, dir.path()))).collect();
        while !children.is_empty() {
            std::thread::sleep(Duration::from_micros(2_000 + random.next(60_000)));
            let victim = random.next(children.len() as u64) as usize;
            let (i, child) = children.swap_remove(victim);
            kill(child, Role::ALL[i]);
            killed[i] += 1;
        }
        let round = killed.iter().sum::<usize>() / 3;
        if round % 10 == 0 || killed.iter().all(|count| *count >= kills_per_role()) {
            check(dir.path());
        }
    }
    println!("{killed:?} kills of {:?} in {:?}", Role::ALL, began.elapsed());
    // everything can be collected, litter included
    let store = open(&dir.path().join("nopal"));
    store.collect_garbage(&GcOptions::default()).unwrap();
    assert!(store.all_valid_paths().unwrap().is_empty());
    assert_eq!(objects_on_disk(&store), 0);
    for name in ["locks", "temproots"] {
        assert_eq!(fs::read_dir(dir.path().join("nopal/var").join(name)).unwrap().count(), 0, "{name}");
    }
}

fn check(dir: &Path) {
    let store = open(&dir.join("nopal"));
    let report = store.verify(&Default::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Not a test of its own: what the children of the test above do until they are killed.
#[test]
fn victim() {
    let Some(order) = std::env::var_os(VICTIM) else { return };
    let order = order.into_string().unwrap();
    let mut parts = order.splitn(3, ':');
    let role = parts.next().unwrap();
    let seed: u64 = parts.next().unwrap().parse().unwrap();
    let dir = PathBuf::from(parts.next().unwrap());
    let mut random = Random(seed | 1);
    loop {
        // opened anew each time: kills must hit that too
        let store = Store::open(config(&dir.join("nopal")), nopal_report::Reporter::silent()).unwrap();
        match role {
            "add" => add_some(&store, &dir, &mut random),
            "build" => build_some(&store, &dir, &mut random),
            _ => {
                store.collect_garbage(&GcOptions::default()).unwrap();
            }
        }
    }
}

fn add_some(store: &Store, dir: &Path, random: &mut Random) {
    let name = format!("tree-{}", random.next(3));
    store.add_path(&dir.join("tree"), &AddOptions::source(&name), None).unwrap();
    let base = store.add_text("base", random.next(5).to_string().as_bytes(), &BTreeSet::new()).unwrap();
    let texts: Vec<TextToAdd> = (0..random.next(10))
        .map(|i| TextToAdd {
            name: "many".into(),
            contents: format!("{i} {}", random.next(1000)).into_bytes().into(),
            references: BTreeSet::from([base.clone()]),
        })
        .collect();
    store.add_texts(&texts).unwrap();
    let additions = Additions::new(store.clone());
    for i in 0..random.next(40) {
        let text = format!("{i} {}", random.next(1000)).into_bytes();
        let path = store.store_dir().text_path("beside", &text, &BTreeSet::new()).unwrap();
        additions.text(&path, text.into(), BTreeSet::new()).unwrap();
    }
    additions.path(&dir.join("tree/a"), &AddOptions::source(&format!("file-{}", random.next(3))), None).unwrap();
    if random.next(8) != 0 {
        additions.finish().unwrap();
    }
}

/// What a build does with a store: temporary roots on inputs and outputs, a tree beside the store, registration.
fn build_some(store: &Store, dir: &Path, random: &mut Random) {
    let input = store.add_text("input", random.next(5).to_string().as_bytes(), &BTreeSet::new()).unwrap();
    let outputs: Vec<StorePath> = ["out", "lib"]
        .iter()
        .map(|output| {
            let hash = Hash::of(HashAlgorithm::Sha256, format!("{output}{}", random.next(5)).as_bytes());
            store.store_dir().output_path(output, &hash, "built").unwrap()
        })
        .collect();
    store.add_temp_roots(&outputs).unwrap();
    if outputs.iter().all(|output| store.is_valid(output).unwrap()) {
        return;
    }
    let build = nopal_fs::TempDir::new_in(dir, "build").unwrap();
    let candidates: BTreeSet<StorePath> = outputs.iter().cloned().chain([input.clone()]).collect();
    let mut built = Vec::new();
    for (output, other) in [(&outputs[0], &outputs[1]), (&outputs[1], &input)] {
        let tree = build.path().join(output.base_name());
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), format!("{output} {other}")).unwrap();
        fs::write(tree.join("more"), vec![b'y'; 50_000]).unwrap();
        nopal_fs::canonicalise_tree(&tree).unwrap();
        let scan = scan_tree(&tree, &candidates).unwrap();
        let info =
            PathInfo { references: scan.references, ..PathInfo::new(output.clone(), scan.nar_hash, scan.nar_size) };
        built.push(BuiltOutput { info, tree, entries: scan.entries });
    }
    match store.register_outputs(built) {
        // the other output may be valid from an earlier build with another reference
        Ok(()) | Err(StoreError::ReferenceNotValid { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
