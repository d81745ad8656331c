//! What evaluation does with files besides evaluating them.

use std::sync::Arc;

use nopal_eval::pos::Pos;
use nopal_eval::{Evaluator, Host, MemHost, Settings};
use nopal_format::StoreDir;

#[test]
fn a_path_is_added_once_in_an_evaluation() {
    nopal_eval::with_stack(|| {
        let host = Arc::new(MemHost::new(StoreDir::default()));
        let settings = Settings::new("x86_64-linux", StoreDir::default());
        let mut ev = Evaluator::new(settings, host.clone() as Arc<dyn Host>);
        let mut add = |contents: &str, is_input: bool, arguments: &str| {
            host.put_file("/source", contents.to_owned());
            let text = format!("builtins.path {{ path = /source; {arguments} }}");
            let value = match is_input {
                true => ev.eval_interactive(text.as_bytes(), b"/").and_then(|value| ev.force(value, Pos::NONE)),
                false => ev.eval_text(text.as_bytes(), b"/"),
            };
            String::from_utf8_lossy(value.unwrap().as_str().unwrap().as_bytes()).into_owned()
        };
        let first = add("one", false, "");
        assert_eq!(add("two", false, ""), first);
        // what it becomes is another object
        let [named, flat] = ["name = \"other\";", "recursive = false;"].map(|arguments| add("two", false, arguments));
        assert!(named.ends_with("-other") && flat.ends_with("-source") && flat != first);
        // a filter is asked each time
        let filtered = add("two", false, "filter = _: _: true;");
        assert_ne!(filtered, first);
        // and an input is an evaluation of its own
        assert_eq!(add("two", true, ""), filtered);
    });
}

/// Where one is evaluated that needs itself is said by its place in the file, not only by the call.
#[test]
fn variables_given_to_a_file_have_places() {
    nopal_eval::with_stack(|| {
        let host = Arc::new(MemHost::new(StoreDir::default()));
        host.put_file("/given.nix", "[ 1 ] ++ x\n".to_owned());
        let mut ev = Evaluator::new(Settings::new("x86_64-linux", StoreDir::default()), host as Arc<dyn Host>);
        let text = b"let x = builtins.scopedImport { inherit x; } /given.nix; in x";
        let error = ev.eval_text(text, b"/").unwrap_err();
        let report = String::from_utf8_lossy(&ev.render_error(&error)).into_owned();
        assert!(report.ends_with(
            "error: infinite recursion encountered\n       at /given.nix:1:10:\n            1| [ 1 ] ++ x\n             \
             |          ^\n            2|\n"
        ));
    });
}
