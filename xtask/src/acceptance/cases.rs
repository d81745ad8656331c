//! What is run in the empty root, and what must come of it.

/// A program of the main job.
pub(crate) struct Case {
    /// Names the case in the output and for `--only`.
    pub(crate) name: &'static str,
    /// Commands in order; all must succeed.
    pub(crate) steps: &'static [Step],
}

/// One `nopal` command.
pub(crate) struct Step {
    /// A file written into the home first: name and contents.
    pub(crate) file: Option<(&'static str, &'static str)>,
    /// The command line behind `nopal`.
    pub(crate) arguments: &'static [&'static str],
    /// What standard output must contain.
    pub(crate) expect: &'static str,
}

const fn step(arguments: &'static [&'static str], expect: &'static str) -> Step {
    Step { file: None, arguments, expect }
}

/// Every case.
pub(crate) const ALL: &[Case] = &[
    Case { name: "hello", steps: &[step(&["run", "deb:hello"], "Hello, world!")] },
    Case {
        name: "jq",
        steps: &[
            step(&["run", "deb:jq", "--", "-n", "[1, 2, 3] | add"], "6"),
            Step {
                file: Some(("in.json", "{\"a\": {\"b\": [10, 20]}}")),
                arguments: &["run", "deb:jq", "--", ".a.b[1]", "/home/user/in.json"],
                expect: "20",
            },
        ],
    },
    Case { name: "python3", steps: &[step(&["run", "deb:python3", "--", "-c", PYTHON], "ssl sqlite3 ctypes 42")] },
    Case {
        name: "git",
        steps: &[
            step(&["run", "deb:git", "--", "init", "-q", "/home/user/a"], ""),
            step(
                &[
                    "run",
                    "deb:git",
                    "--",
                    "-C",
                    "/home/user/a",
                    "-c",
                    "user.name=n",
                    "-c",
                    "user.email=n@localhost",
                    "commit",
                    "-q",
                    "--allow-empty",
                    "-m",
                    "first pad",
                ],
                "",
            ),
            step(
                &[
                    "run",
                    "--program",
                    "sh",
                    "deb:git",
                    "--",
                    "-c",
                    "rm -rf /home/user/b && git clone -q /home/user/a /home/user/b",
                ],
                "",
            ),
            step(&["run", "deb:git", "--", "-C", "/home/user/b", "log", "--format=%s"], "first pad"),
        ],
    },
    Case {
        name: "perl",
        steps: &[step(
            &[
                "run",
                "deb:perl",
                "--",
                "-e",
                "use POSIX; use JSON::PP; print POSIX::floor(42.5), JSON::PP->new->encode({a => [1]}), qq(\\n)",
            ],
            "42{\"a\":[1]}",
        )],
    },
    Case { name: "ffmpeg", steps: &[step(&["run", "deb:ffmpeg", "--", "-version"], "ffmpeg version")] },
    Case {
        name: "gcc-12",
        steps: &[
            Step {
                file: Some(("hello.c", "#include <stdio.h>\nint main(void) { puts(\"compiled here\"); return 0; }\n")),
                arguments: &["run", "deb:gcc-12", "--", "-o", "/home/user/hello", "/home/user/hello.c"],
                expect: "",
            },
            step(&["run", "--program", "/home/user/hello", "deb:gcc-12"], "compiled here"),
        ],
    },
];

const PYTHON: &str = "\
import ssl, sqlite3, ctypes
ssl.create_default_context()
database = sqlite3.connect(':memory:')
answer = database.execute('select 6 * 7').fetchone()[0]
assert ctypes.CDLL(None).strlen(b'four') == 4
print('ssl sqlite3 ctypes', answer)";
