//! Several threads find what one finds: the same values, messages in the same order, the same error to the letter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nopal_eval::host::Message;
use nopal_eval::{Evaluator, Host, MemHost, Settings, Value, evaluate};
use nopal_format::StoreDir;

/// What an evaluation leaves: what was shown, and the JSON of the value or the report of the error.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    messages: Vec<Message>,
    result: Result<String, String>,
}

/// Evaluates `text` and all parts of its value.
fn run(text: &str, threads: usize, collect_after_bytes: usize) -> Outcome {
    run_counted(text, threads, collect_after_bytes).0
}

/// The same, and how often all was evaluated.
fn run_counted(text: &str, threads: usize, collect_after_bytes: usize) -> (Outcome, usize) {
    let times = AtomicUsize::new(0);
    let outcome = nopal_eval::with_stack(|| {
        let memory = Arc::new(MemHost::new(StoreDir::default()));
        let host: Arc<dyn Host> = memory.clone();
        let settings = Settings {
            threads,
            parallel_after_bytes: 0,
            collect_after_bytes,
            show_trace: true,
            ..Settings::new("x86_64-linux", StoreDir::default())
        };
        let work = |ev: &mut Evaluator| {
            times.fetch_add(1, Ordering::Relaxed);
            let value = ev.eval_text(text.as_bytes(), b"/")?;
            let value: Value = ev.force_deep(value)?;
            ev.print_json(value, true)
        };
        let (evaluator, result) = evaluate(settings, &host, work);
        let result = match result {
            Ok(json) => Ok(String::from_utf8_lossy(&json).into_owned()),
            Err(error) => Err(String::from_utf8_lossy(&evaluator.render_error(&error)).into_owned()),
        };
        Outcome { messages: memory.take_messages(), result }
    });
    (outcome, times.into_inner())
}

/// Evaluates often with several threads, and compares with one.
fn same(text: &str) {
    let alone = run(text, 1, 96 << 20);
    for round in 0..40 {
        let collect_after_bytes = [96 << 20, 64 << 10, 4 << 10][round % 3];
        assert_eq!(run(text, 2 + round % 3, collect_after_bytes), alone, "round {round} of {text}");
    }
}

#[test]
fn values_are_the_same() {
    same(
        r#"
        let
          work = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) 200);
          shared = builtins.genList (i: { name = "n${toString (i / 2)}"; value = work i; }) 60;
          set = builtins.listToAttrs shared;
          fix = f: let x = f x; in x;
          graph = fix (self: builtins.listToAttrs (builtins.genList (i: {
            name = "g${toString i}";
            value = if i < 2 then i else self."g${toString (i - 1)}" + self."g${toString (i - 2)}";
          }) 50));
        in { inherit set graph; list = map (x: x.value) shared; again = map (n: graph.${n}) (builtins.attrNames graph); }
        "#,
    );
}

#[test]
fn derivations_are_the_same() {
    same(
        r#"
        let
          drv = i: derivation {
            name = "d${toString i}"; system = "x"; builder = "/bin/sh";
            inputs = builtins.genList (k: drv (i - k - 1)) (if i > 2 then 2 else i);
            text = builtins.concatStringsSep " " (builtins.genList toString 50);
          };
        in map (d: d.drvPath) (builtins.genList drv 9)
        "#,
    );
}

#[test]
fn messages_come_in_order() {
    same(
        r#"
        let say = i: builtins.trace "now ${toString i}" (builtins.length (builtins.genList (x: x) (i * 50)));
        in builtins.genList (i: { a = say i; b = [ (say (i + 100)) (i * 2) ]; c = builtins.warn "w${toString i}" i; }) 25
        "#,
    );
}

#[test]
fn the_first_error_is_reported() {
    same(
        r#"
        let
          xs = builtins.genList (i:
            if i == 17 || i == 23 then throw "at ${toString i}"
            else builtins.trace "ok ${toString i}" (builtins.length (builtins.genList (x: x) 400))) 40;
          tried = map (x: builtins.tryEval (builtins.deepSeq x x)) xs;
        in { inherit tried; all = xs; }
        "#,
    );
    same(r#"let f = n: if n == 0 then { } .x else 1 + f (n - 1); in builtins.genList (i: f (60 - i)) 30"#);
    same(r#"let a = { x = map (n: b.y) [ 1 2 3 ]; }; b = { y = builtins.elemAt a.x 1; }; in [ 1 [ 2 3 ] a b ]"#);
}

#[test]
fn what_needs_itself_is_found_and_never_waited_for() {
    // each thread begins with another value of the circle
    same(
        r#"
        let
          slow = x: builtins.length (builtins.genList (x: x) 300) + x;
          s = { a = slow s.b; b = slow s.c; c = slow s.d; d = slow s.e; e = slow s.f; f = slow s.a; };
        in [ 1 s.a s.c s.e s.b s.d s.f ]
        "#,
    );
    same(r#"let s = { a = s.b + 1; b = s.c + 1; c = s.d + 1; d = s.a + 1; e = 5; }; in [ s.e s ]"#);
}

#[test]
fn nothing_is_evaluated_ahead_that_an_override_changes() {
    // the list fails at its first element; those after it are evaluated later, when `x` is another
    same(
        r#"
        let
          work = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) 4000);
          set = i: rec {
            __overrides =
              let late = builtins.genList (k: x + k) 10;
              in builtins.seq (builtins.tryEval (builtins.deepSeq ([ (throw "${toString (work i)}") ] ++ late) null))
                { x = i * 10; inherit late; };
            x = i;
          };
        in map set (builtins.genList (i: i) 8)
        "#,
    );
}

/// Other threads meet names in another order. Where only one attribute shows messages, that is no reason to begin anew.
#[test]
fn one_attribute_may_show_messages_in_any_order() {
    let text = r#"
        let
          work = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) 500);
          set = i: builtins.listToAttrs (map (letter: {
            name = letter + toString i;
            value = if letter == "m" then builtins.trace "one ${toString i}" (builtins.trace "two" i) else work i;
          }) [ "a" "m" "z" ]);
        in builtins.genList (i: [ (work i) (builtins.deepSeq (set i) i) (builtins.hasAttr "z${toString i}" { }) ]) 12
    "#;
    let alone = run(text, 1, 96 << 20);
    for _ in 0..40 {
        let (outcome, times) = run_counted(text, 3, 96 << 20);
        assert_eq!((&outcome, times), (&alone, 1));
    }
}

/// Attributes are gone through in the order in which their names were met; other threads meet them in another one.
#[test]
fn names_that_others_met_first_change_nothing() {
    for (first, second, use_of) in [
        ("builtins.trace i 1", "builtins.trace (-i) 2", "builtins.deepSeq (set i) i"),
        ("throw i", "abort i", "builtins.tryEval (builtins.deepSeq (set i) i)"),
        ("abort i", "throw i", "builtins.tryEval (builtins.deepSeq (set i) i)"),
        ("i", "throw i", "builtins.tryEval (set i == set (-i))"),
        ("throw i", "i", "builtins.tryEval (set i == set (-i))"),
    ] {
        same(&format!(
            r#"
            let
              work = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) 500);
              name = letter: i: letter + toString (if i < 0 then -i else i);
              set = i: builtins.listToAttrs [
                {{ name = name "a" i; value = {first}; }}
                {{ name = name "z" i; value = {second}; }}
              ];
            in builtins.genList (i: [ (work i) ({use_of}) (builtins.hasAttr (name "z" i) {{ }}) ]) 8
            "#
        ));
    }
}
