use super::*;

fn launch(words: &[&str], options: &Options) -> Result<Launch, FlagError> {
    let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    parse(Text::literal("/target"), &words, options)
}

fn binary() -> Options {
    Options { manner: Manner::Binary, ..Options::default() }
}

fn joined(words: &[&str]) -> Vec<String> {
    let launch = launch(words, &Options::default()).unwrap();
    let value = |step| match step {
        Step::Join(Join { value, .. }) => match &value.0[..] {
            [Piece::Literal(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    launch.steps.into_iter().map(value).collect()
}

#[test]
fn lists_are_divided_as_bash_divides_them() {
    assert_eq!(joined(&["--suffix", "A", ":", "a::b:"]), ["a", "", "b"]);
    assert_eq!(joined(&["--prefix", "A", ":", "a::b:"]), ["b", "", "a"]);
    assert_eq!(joined(&["--suffix", "A", " ", " a  b "]), ["a", "b"]);
    assert_eq!(joined(&["--suffix", "A", ", ", "a, b ,c d"]), ["a", "b", "c", "d"]);
    assert_eq!(joined(&["--prefix", "A", "", "a:b"]), ["a:b"]);
    assert_eq!(joined(&["--prefix-each", "A", ":", "x y:z\nw"]), ["x", "z", "y", "w"]);
    assert!(joined(&["--prefix", "A", ":", ""]).is_empty());
    assert!(joined(&["--prefix", "A", ":", ":"]).is_empty());
    assert_eq!(joined(&["--suffix", "A", ":", ":"]), [""]);
}

#[test]
fn flags_are_words_of_a_shell_or_divided_at_spaces() {
    let text = "-a '*' ${A:+b}";
    let shell = launch(&["--add-flags", text], &Options::default()).unwrap();
    assert!(matches!(&shell.before.0[..], [.., Piece::Break, Piece::Choice(_)]));
    let binary = launch(&["--add-flags", text], &binary()).unwrap();
    let words = ["-a", "'*'", "${A:+b}"].map(|word| Piece::Literal(word.into()));
    let [one, two, three] = words;
    assert_eq!(binary.before.0, [one, Piece::Break, two, Piece::Break, three]);
}

#[test]
fn the_last_name_wins() {
    let name = |words: &[&str], options: &Options| launch(words, options).unwrap().name.0;
    assert_eq!(name(&[], &binary()), [Piece::Target]);
    assert_eq!(name(&["--argv0", "x", "--inherit-argv0"], &binary()), [Piece::Name]);
    assert_eq!(name(&["--inherit-argv0", "--argv0", "$0"], &binary()), [Piece::Literal(b"$0".into())]);
    assert_eq!(name(&["--inherit-argv0", "--argv0", ""], &binary()), [Piece::Target]);
    assert_eq!(name(&["--argv0", "$0"], &Options::default()), [Piece::Called]);
    assert_eq!(name(&["--inherit-argv0"], &Options::default()), [Piece::Called]);
}

#[test]
fn wrong_flags_are_named() {
    for (words, message) in [
        (&["--sett", "A", "b"][..], "there is no flag --sett for wrappers"),
        (&["--set", "A"], "--set takes 2 values: VAR VALUE"),
        (&["--set", "A", "b", "--chdir"], "--chdir takes a value: DIRECTORY"),
        (&["--prefix", "A", ":"], "--prefix takes 3 values: VAR SEPARATOR VALUE"),
        (&["--unset", ""], "--unset is given '' for a variable, whose name is not empty and has no ="),
        (&["--set", "A=", "b"], "--set is given 'A=' for a variable, whose name is not empty and has no ="),
        (&["--add-flags", "$(x)"], "--add-flags is given '$(x)', where $( needs a shell"),
        (&["--run", "x=1"], "--run is given 'x=1', where every command needs a shell"),
    ] {
        assert_eq!(launch(words, &Options::default()).unwrap_err().to_string(), message);
    }
}

#[test]
fn commands_are_left_to_the_shell_with_all_that_follows() {
    let options = Options { shell: Some("/bin/bash".into()), ..Options::default() };
    let words = ["--set", "A", "1", "--run", "x=$A", "--prefix", "B", ":", "2", "--add-flags", "$x", "--argv0", "$0"];
    let launch = launch(&words, &options).unwrap();
    assert_eq!(launch.target, Text::literal("/bin/bash"));
    assert_eq!(launch.steps, [Step::Set(b"A".into(), Text::literal("1"))]);
    let [_, _, _, _, Piece::Literal(script), Piece::Break, Piece::Called] = &launch.before.0[..] else { panic!() };
    let script = String::from_utf8(script.clone()).unwrap();
    assert!(script.starts_with("x=$A\nB=${B:+':'$B':'}\n"), "{script}");
    assert!(script.ends_with("export B\nexec -a \"$0\" '/target' $x \"$@\""), "{script}");
}

#[test]
fn scripts_get_flags_as_they_were_meant() {
    let shell = Some("/bin/bash".into());
    let script = |options: &Options| {
        let launch = launch(&["--run", "true", "--add-flags", "* $x", "--set-default", "A", "it's"], options).unwrap();
        let Piece::Literal(script) = launch.before.0[4].clone() else { panic!() };
        String::from_utf8(script).unwrap()
    };
    let binary = script(&Options { shell: shell.clone(), ..binary() });
    assert_eq!(binary, "true\nexport A=${A-'it'\\''s'}\nexec '/target' '*' '$x' \"$@\"");
    let bash = script(&Options { shell, ..Options::default() });
    assert!(bash.ends_with("exec '/target' * $x \"$@\""), "{bash}");
}
