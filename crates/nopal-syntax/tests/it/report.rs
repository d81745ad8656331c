//! Reports that no parse error makes: traces, repetition, suggestions, text of other origins.

use nopal_syntax::ast::Pos;
use nopal_syntax::report::{Level, Location, Report, Trace, plain, suggestions};
use nopal_syntax::source::{Origin, Source};

const TEXT: &[u8] = b"let\n  f = x: throw x;\nin f 1\n";

fn location(offset: u32) -> Option<Location> {
    Location::new(&Source { origin: &Origin::Path(b"/a.nix".to_vec()), text: TEXT }, Pos::at(offset))
}

fn trace(hint: &str, offset: Option<u32>) -> Trace {
    Trace { at: offset.and_then(location), hint: hint.into(), always: false }
}

fn render(report: &Report, show_trace: bool) -> String {
    String::from_utf8(report.render(show_trace)).unwrap()
}

#[test]
fn a_message_alone() {
    assert_eq!(render(&Report::error("no"), false), "error: no\n");
    assert_eq!(render(&Report::error("two\nlines\n"), false), "error: two\n       lines\n");
}

#[test]
fn traces_come_before_the_message() {
    let report = Report {
        traces: vec![trace("while calling f", Some(25)), trace("", Some(1)), trace("while doing nothing", None)],
        at: location(13),
        ..Report::error("no")
    };
    let expected = "\
error:
       … while calling f
         at /a.nix:3:4:
            2|   f = x: throw x;
            3| in f 1
             |    ^
            4|

       … while doing nothing

       error: no
       at /a.nix:2:10:
            1| let
            2|   f = x: throw x;
             |          ^
            3| in f 1
";
    assert_eq!(render(&report, true), expected);
}

#[test]
fn traces_are_cut_off_and_repetitions_counted() {
    let traces: Vec<_> = (0..8).map(|number| trace(&format!("step {number}"), None)).collect();
    let report = Report { traces, ..Report::error("no") };
    let text = render(&report, false);
    assert!(text.contains("… step 3\n") && !text.contains("step 4"), "{text}");
    assert!(text.contains("(stack trace truncated; use '--show-trace' to show the full, detailed trace)"), "{text}");
    assert!(render(&report, true).contains("… step 7\n"));

    let mut traces = vec![trace("again", None); 10];
    traces.push(trace("other", None));
    let report = Report { traces, ..Report::error("no") };
    let text = render(&report, true);
    assert!(text.contains("… again\n\n       (9 duplicate frames omitted)\n\n       … other\n"), "{text}");
    let report = Report { traces: vec![trace("again", None); 3], ..Report::error("no") };
    assert_eq!(render(&report, true).matches("again").count(), 3);
}

#[test]
fn frames_that_always_show_do() {
    let mut traces: Vec<_> = (0..8).map(|number| trace(&format!("step {number}"), None)).collect();
    traces[6].always = true;
    let text = render(&Report { traces, ..Report::error("no") }, false);
    assert!(text.contains("step 6") && !text.contains("step 5"), "{text}");
}

#[test]
fn suggestions_are_the_nearest_names() {
    let names: [&[u8]; 6] = [b"foo", b"fo", b"fooo", b"bar", b"foo1", b"x"];
    let found = suggestions(b"foo2", names);
    assert_eq!(found, [b"foo".to_vec(), b"foo1".to_vec(), b"fooo".to_vec()]);
    let report = Report { suggestions: found, ..Report::error("no") };
    assert_eq!(render(&report, false), "error: no\n       Did you mean one of foo, foo1 or fooo?\n");
    let report = Report { suggestions: vec![b"foo".to_vec()], ..Report::error("no") };
    assert_eq!(render(&report, false), "error: no\n       Did you mean foo?\n");
}

#[test]
fn warnings_have_their_own_words() {
    let report = |level| Report { level, ..Report::error("a\nb") };
    assert_eq!(render(&report(Level::Warning), false), "warning: a\n         b\n");
    assert_eq!(render(&report(Level::TextWarning), false), "warning: a\nb\n");
    assert_eq!(render(&report(Level::EvaluationWarning), false), "evaluation warning: a\n                    b\n");
}

#[test]
fn output_is_for_what_is_no_terminal() {
    assert_eq!(plain(b"a\tb\x1b[31mred\x1b[0m\x1b]8;;x\x07link\r\n\x07"), b"a       bredlink\n");
}

#[test]
fn text_that_is_no_file_ends_at_a_null_byte() {
    let text = b"a\0\nb";
    let location = |origin: &Origin| Location::new(&Source { origin, text }, Pos::at(3)).unwrap().place.line;
    assert_eq!(location(&Origin::String), 1);
    assert_eq!(location(&Origin::Path(b"/f".to_vec())), 2);
}
