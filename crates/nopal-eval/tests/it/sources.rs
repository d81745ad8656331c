//! Paths that are added to the store are read once in an evaluation.

use std::sync::Arc;

use nopal_eval::{Evaluator, Host, MemHost, Settings};
use nopal_format::StoreDir;

#[test]
fn a_path_is_added_once_until_files_are_forgotten() {
    nopal_eval::with_stack(|| {
        let host = Arc::new(MemHost::new(StoreDir::default()));
        let settings = Settings::new("x86_64-linux", StoreDir::default());
        let mut ev = Evaluator::new(settings, host.clone() as Arc<dyn Host>);
        let mut add = |contents: &str, forget: bool, arguments: &str| {
            host.put_file("/source", contents.to_owned());
            if forget {
                ev.forget_files();
            }
            let value =
                ev.eval_text(format!("builtins.path {{ path = /source; {arguments} }}").as_bytes(), b"/").unwrap();
            String::from_utf8_lossy(value.as_str().unwrap().as_bytes()).into_owned()
        };
        let first = add("one", false, "");
        assert_eq!(add("two", false, ""), first);
        // what it becomes is another object
        let [named, flat] = ["name = \"other\";", "recursive = false;"].map(|arguments| add("two", false, arguments));
        assert!(named.ends_with("-other") && flat.ends_with("-source") && flat != first);
        // a filter is asked each time
        let filtered = add("two", false, "filter = _: _: true;");
        assert_ne!(filtered, first);
        assert_eq!(add("two", true, ""), filtered);
    });
}
