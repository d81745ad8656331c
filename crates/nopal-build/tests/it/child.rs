//! Things that this test program does in another process: in a sandbox as its builder, or killed half-way.
//!
//! The program is started again with the name of one of these "tests" and a variable that says that it is meant; in an
//! ordinary run they do nothing.

use std::ffi::CString;
use std::path::PathBuf;
use std::process::Command;

use nopal_store::AddOptions;

use crate::fixture::Site;

/// Says that a test of this file is meant, and with what.
pub(crate) const ARGUMENT: &str = "NOPAL_BUILD_TEST_CHILD";

pub(crate) fn argument() -> Option<String> {
    std::env::var(ARGUMENT).ok()
}

/// A command that runs one of these in a process of its own.
pub(crate) fn command(name: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("child::{name}"), "--nocapture", "--test-threads=1"]).env(ARGUMENT, argument);
    command
}

/// Runs one of these as the builder of a derivation; its output is what it writes to the file in `out`.
pub(crate) fn in_sandbox(site: &Site, name: &str) -> String {
    let source = tempfile::tempdir().unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), source.path().join("it")).unwrap();
    let program = site.store.add_path(source.path(), &AddOptions::source("it"), None).unwrap().path;
    let script = format!("exec {}/it --exact child::{name} --nocapture --test-threads=1", site.store.print(&program));
    site.build_text(site.recipe(name, &script).source(&program).env(ARGUMENT, "yes"))
}

fn output(text: &str) {
    std::fs::write(PathBuf::from(std::env::var_os("out").unwrap()), text).unwrap();
}

/// What [`syscalls`] finds.
pub(crate) const SYSCALLS: &str = "fchmod EPERM\nfchmodat EPERM\nfchmodat2 EPERM\nx32 chmod EPERM\nchmod ok\nsetxattr ENOTSUP\n\
    fgetxattr ENOTSUP\nlistxattr ENOTSUP\nio_uring_setup ENOSYS\nkeyctl ENOSYS\nuserfaultfd EPERM\nTIOCSTI EPERM\n\
    chown EINVAL\nsetuid EINVAL\n";

#[test]
fn syscalls() {
    if argument().is_none() {
        return;
    }
    std::fs::write("/build/f", "x").unwrap();
    let file = CString::new("/build/f").unwrap();
    let name = CString::new("user.test").unwrap();
    let mut report = String::new();
    let mut say = |what: &str, result: libc::c_long| {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
        let text = match (result, errno) {
            (0.., _) => "ok",
            (_, libc::EPERM) => "EPERM",
            (_, libc::EINVAL) => "EINVAL",
            (_, libc::ENOSYS) => "ENOSYS",
            (_, libc::ENOTSUP) => "ENOTSUP",
            _ => "another error",
        };
        report += &format!("{what} {text}\n");
    };
    // SAFETY: system calls on a file of ours with valid pointers; results are only looked at.
    unsafe {
        let fd = libc::open(file.as_ptr(), libc::O_RDWR);
        say("fchmod", libc::fchmod(fd, 0o4755).into());
        say("fchmodat", libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, file.as_ptr(), 0o2755));
        say("fchmodat2", libc::syscall(452, libc::AT_FDCWD, file.as_ptr(), 0o4755, 0));
        if cfg!(target_arch = "x86_64") {
            say("x32 chmod", libc::syscall(0x4000_0000 + 90, file.as_ptr(), 0o4755));
        } else {
            say("x32 chmod", libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, file.as_ptr(), 0o4755));
        }
        say("chmod", libc::chmod(file.as_ptr(), 0o755).into());
        say("setxattr", libc::setxattr(file.as_ptr(), name.as_ptr(), c"x".as_ptr().cast(), 1, 0).into());
        say("fgetxattr", libc::fgetxattr(fd, name.as_ptr(), std::ptr::null_mut(), 0) as libc::c_long);
        say("listxattr", libc::listxattr(file.as_ptr(), std::ptr::null_mut(), 0) as libc::c_long);
        say("io_uring_setup", libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null_mut::<u8>()));
        say("keyctl", libc::syscall(libc::SYS_keyctl, 0, 0, 0));
        say("userfaultfd", libc::syscall(libc::SYS_userfaultfd, 0));
        say("TIOCSTI", libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()).into());
        say("chown", libc::chown(file.as_ptr(), 0, 0).into());
        say("setuid", libc::setuid(0).into());
    }
    output(&report);
}

#[test]
fn builds() {
    if let Some(argument) = argument() {
        crate::processes::build_argument(&argument);
    }
}

#[test]
fn runs() {
    if let Some(argument) = argument() {
        crate::run::enter_argument(&argument);
    }
}
