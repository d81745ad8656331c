//! Outputs of derivations that are outputs, with the strings that Nix 2.34.8 gives. Derivations are read back, so the
//! store must be written to, which the programs in `tests/lang` cannot ask for.

use std::sync::Arc;

use nopal_eval::{Evaluator, Host, MemHost, Settings};
use nopal_format::StoreDir;

/// What a program prints, or the message of its error.
fn run(text: &str, features: &str) -> String {
    let text = text.to_owned();
    let features: Vec<String> = features.split(' ').map(str::to_owned).collect();
    nopal_eval::with_stack(move || {
        let mut settings = Settings::new("x86_64-linux", StoreDir::default());
        settings.experimental_features = features;
        settings.read_only = false;
        let host = Arc::new(MemHost::new(StoreDir::default()));
        let mut ev = Evaluator::new(settings, host as Arc<dyn Host>);
        let printed = ev.eval_text(text.as_bytes(), b"/").and_then(|value| {
            ev.force_deep(value)?;
            ev.print_ambiguous(value)
        });
        match printed {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => String::from_utf8_lossy(&error.data().message).into_owned(),
        }
    })
}

const ALL: &str = "ca-derivations dynamic-derivations";
const LET: &str = r#"let
  d0 = derivation { name = "a"; system = "x"; builder = "b"; __contentAddressed = true; };
  d1 = derivation {
    name = "b.drv"; system = "x"; builder = "b"; outputHashMode = "text"; __contentAddressed = true; x = d0;
  };
  d2 = derivation { name = "c"; system = "x"; builder = "b"; x = builtins.outputOf d1.outPath "out"; };
  path = d: builtins.unsafeDiscardOutputDependency d.drvPath;
in "#;

#[test]
fn placeholders_and_files() {
    let text = run(&format!("{LET} map (d: [ d.drvPath d.outPath ]) [ d0 d1 d2 ]"), ALL);
    assert_eq!(
        text,
        "[ [ \"/nix/store/i6nh9nk5c032hyfcbdaj9fhwyy7a6g7z-a.drv\" \
         \"/004nrmbxzdp6594ia983x6zpw940r0v3krzk40c98n1d89xkppwj\" ] \
         [ \"/nix/store/4wh34c1brv480rp0jmahn02i475hfbzj-b.drv.drv\" \
         \"/17v945szx0swrmvgxl1m85bv7p4lsl16akn91164xpjkmw1fsjdz\" ] \
         [ \"/nix/store/6fznamq9gkdr1r81wqh0s0ngr29j8l7c-c.drv\" \
         \"/0hmn9ryl5gjhginf96xmdxp87mg81d918iwgx9q343qadanlr4b9\" ] ]"
    );
    let text = run(&format!("{LET} builtins.readFile d2.drvPath"), ALL);
    assert!(text.contains("DrvWithVersion(\\\"xp-dyn-drv\\\","), "{text}");
    assert!(text.contains("/19191hazb921bkaky4jlxdhv584ncl44l80krjhh1lsi6ymsqk75"), "{text}");
}

#[test]
fn output_of_is_the_output() {
    for (text, expected) in [
        ("builtins.outputOf (path d1) \"out\" == d1.outPath", "true"),
        (
            "builtins.outputOf (builtins.outputOf (path d1) \"out\") \"out\" == builtins.outputOf d1.outPath \"out\"",
            "true",
        ),
        ("builtins.hasContext (builtins.outputOf d1.outPath \"out\")", "true"),
    ] {
        assert_eq!(run(&format!("{LET} {text}"), ALL), expected, "{text}");
    }
}

#[test]
fn what_stands_for_nothing_is_refused() {
    let drv = "/nix/store/4wh34c1brv480rp0jmahn02i475hfbzj-b.drv.drv";
    for (text, features, expected) in [
        (
            "builtins.outputOf (path d1) \"dev\"",
            ALL,
            format!("derivation '{drv}' does not have output 'dev'"),
        ),
        (
            "builtins.outputOf \"${path d1}x\" \"out\"",
            ALL,
            format!("path string '{drv}x' has context with the different path '{drv}'"),
        ),
        (
            "builtins.getContext (builtins.outputOf d1.outPath \"out\")",
            ALL,
            format!("cannot operate on output 'out' of the unbuilt derivation '{drv}'"),
        ),
        (
            "d0.outPath",
            "dynamic-derivations",
            "experimental Nix feature 'ca-derivations' is disabled; add '--extra-experimental-features ca-derivations' \
             to enable it"
                .to_owned(),
        ),
    ] {
        assert_eq!(run(&format!("{LET} {text}"), features), expected, "{text}");
    }
}
