//! Every environment variable that nopal reads: the one list. `docs/manual/environment.md` is made from it.

use std::ffi::OsString;

/// A variable and what it is for.
#[derive(Debug)]
pub(crate) struct EnvVar {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, for the manual: plain sentences.
    pub(crate) about: &'static str,
}

impl EnvVar {
    /// Its value, if it is set and not empty.
    pub(crate) fn get(&self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }

    /// Its value as text; what is not UTF-8 is taken for unset.
    pub(crate) fn text(&self) -> Option<String> {
        self.get().and_then(|value| value.into_string().ok())
    }

    /// Whether it is set to anything but `0`.
    pub(crate) fn flag(&self) -> bool {
        self.get().is_some_and(|value| value != "0")
    }
}

/// Declares the variables and the list of all of them.
macro_rules! env_vars {
    ($($(#[doc = $about:literal])+ $constant:ident = $name:literal;)*) => {
        $(
            $(#[doc = $about])+
            pub(crate) const $constant: EnvVar = EnvVar { name: $name, about: concat!($($about, "\n"),+) };
        )*
        /// All of them, in the order of the manual.
        pub(crate) const ALL: &[EnvVar] = &[$($constant),*];
    };
}

env_vars! {
    /// Folder that holds the store: its objects in `store/`, its database and roots in `var/`. `--store` overrides it.
    /// Default: `$XDG_DATA_HOME/nopal`.
    NOPAL_STORE = "NOPAL_STORE";
    /// The logical store directory, with which every hash is computed. Default: Nix's, so that hashes equal Nix's.
    NOPAL_STORE_DIR = "NOPAL_STORE_DIR";
    /// Folder for downloads, package indexes, locks of ad-hoc runs and results of evaluations. May be deleted at any time.
    /// Default: `$XDG_CACHE_HOME/nopal`.
    NOPAL_CACHE = "NOPAL_CACHE";
    /// The same for the commands that go by Nix's names, unless `NOPAL_CACHE` is set. Default: `$XDG_CACHE_HOME/nix`.
    NIX_CACHE_HOME = "NIX_CACHE_HOME";
    /// Memory that values and stack of an evaluation may take together, in bytes or with a unit (`512M`, `2G`); when that is
    /// not enough, evaluation ends with an error. Sources, code and lists that the collector makes come on top. Default: no
    /// limit; but values take 12 GiB at most in any case.
    NOPAL_EVAL_MEMORY = "NOPAL_EVAL_MEMORY";
    /// Threads that evaluate an expression, 0 for as many as there are processors; `--eval-cores`
    /// overrides it. Default: 1.
    NOPAL_EVAL_CORES = "NOPAL_EVAL_CORES";
    /// Set to anything but `0`, no network is used, as with `--offline`.
    NOPAL_OFFLINE = "NOPAL_OFFLINE";
    /// Set to anything but `0`, results of earlier evaluations are neither used nor kept, as with `--no-eval-cache`.
    NOPAL_NO_EVAL_CACHE = "NOPAL_NO_EVAL_CACHE";
    /// Set to anything but `0`, sources are parsed although they have been parsed before.
    NOPAL_NO_PARSE_CACHE = "NOPAL_NO_PARSE_CACHE";
    /// Where data of the user lies. Default: `~/.local/share`.
    XDG_DATA_HOME = "XDG_DATA_HOME";
    /// Where cached data of the user lies. Default: `~/.cache`.
    XDG_CACHE_HOME = "XDG_CACHE_HOME";
    /// The editor that `nix edit` and `:edit` of the REPL start, with its flags. Default: `cat`.
    EDITOR = "EDITOR";
    /// The shell that `nix shell` starts. Default: `bash`.
    SHELL = "SHELL";
    /// The shell that `nix-shell` starts. Default: `bash`.
    NIX_BUILD_SHELL = "NIX_BUILD_SHELL";
    /// The time zone, which `nix-shell` passes on.
    TZ = "TZ";
    /// The user's home. Without it, or where it is somebody else's directory, the `passwd` file tells.
    HOME = "HOME";
    /// Search path of `<name>`: entries `name=path` or `path`, separated by colons. `-I` comes before it.
    NIX_PATH = "NIX_PATH";
    /// Settings, one `name = value` a line, as in nix.conf. Those of evaluation and building that nopal has are taken,
    /// others ignored.
    NIX_CONFIG = "NIX_CONFIG";
    /// The logical store directory for the commands that go by Nix's names.
    NIX_STORE_DIR = "NIX_STORE_DIR";
    /// Where the commands that go by Nix's names keep database and roots. If it is set, and `NOPAL_STORE` is not, the
    /// store lies where its name says and is laid out as Nix's.
    NIX_STATE_DIR = "NIX_STATE_DIR";
    /// `NIX_STATE_DIR` is `nix` below this, unless it is set.
    NIX_LOCALSTATE_DIR = "NIX_LOCALSTATE_DIR";
    /// Where build logs go if `NIX_STATE_DIR` is used.
    NIX_LOG_DIR = "NIX_LOG_DIR";
    /// Folder of nix.conf, which the commands that go by Nix's names read. Default: `/etc/nix`.
    NIX_CONF_DIR = "NIX_CONF_DIR";
    /// Further files of settings, separated by colons, the most important first. Default: `nix/nix.conf` below
    /// `XDG_CONFIG_HOME` and `XDG_CONFIG_DIRS`.
    NIX_USER_CONF_FILES = "NIX_USER_CONF_FILES";
    /// Number of the word that `nix` completes.
    NIX_GET_COMPLETIONS = "NIX_GET_COMPLETIONS";
    /// Where settings of the user lie. Default: `~/.config`.
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME";
    /// Where settings of all users lie. Default: `/etc/xdg`.
    XDG_CONFIG_DIRS = "XDG_CONFIG_DIRS";
    /// The store of the commands that go by Nix's names: a folder, or `dummy://` to evaluate without one.
    NIX_REMOTE = "NIX_REMOTE";
    /// Set to anything but `0`, a warning of the evaluator ends evaluation.
    NIX_ABORT_ON_WARN = "NIX_ABORT_ON_WARN";
    /// Set to anything but `0`, statistics of the evaluation are printed as JSON on standard error, with Nix's keys.
    NIX_SHOW_STATS = "NIX_SHOW_STATS";
    /// File for the statistics, in place of standard error; `-` is standard error.
    NIX_SHOW_STATS_PATH = "NIX_SHOW_STATS_PATH";
    /// Set to anything but `0`, statistics tell how often each function and builtin was called.
    NIX_COUNT_CALLS = "NIX_COUNT_CALLS";
    /// Set to anything but `0`, statistics have all names in place of their number.
    NIX_SHOW_SYMBOLS = "NIX_SHOW_SYMBOLS";
    /// What shows long texts of the REPL on a terminal; before `PAGER`. `cat` shows them as they are.
    NIX_PAGER = "NIX_PAGER";
    /// What shows long texts of the REPL on a terminal.
    PAGER = "PAGER";
    /// Set to `1`, the REPL shows documentation as its Markdown source. Nix's own tests ask for that.
    NIX_TEST_RAW_MARKDOWN = "_NIX_TEST_RAW_MARKDOWN";
    /// Proxy for http URLs.
    HTTP_PROXY = "http_proxy";
    /// Proxy for https URLs.
    HTTPS_PROXY = "https_proxy";
    /// Proxy for all URLs.
    ALL_PROXY = "all_proxy";
    /// Hosts for which no proxy is used, separated by commas.
    NO_PROXY = "no_proxy";
    /// File with the certificates of trusted authorities. Default: those compiled in and those of the system.
    SSL_CERT_FILE = "SSL_CERT_FILE";
    /// The kind of terminal; `dumb` has no emphasis.
    TERM = "TERM";
    /// Set to anything, output has no colour.
    NO_COLOR = "NO_COLOR";
    /// Where programs are looked for, in the environment that `nopal run` passes on.
    PATH = "PATH";
}
