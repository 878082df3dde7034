//! A user without rights, and his containers.

use super::harness::{Bundle, Outcome};
use serde_json::json;
use std::fs;
use std::process::Command;

/// The command as a user without rights calls it.
pub(crate) fn call(bundle: &Bundle, args: &[&str]) -> Outcome {
    bundle.finish(as_user(bundle, bundle.command(args)))
}

pub(crate) fn as_user(bundle: &Bundle, called: Command) -> Command {
    as_member("--clear-groups", bundle, called)
}

/// [`as_user`], who is in other groups as well.
pub(crate) fn as_member(groups: &str, bundle: &Bundle, called: Command) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", groups])
        .arg("--inh-caps=-all")
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&bundle.dir);
    command
}

/// A bundle of that user with the document that `spec --rootless` writes for him.
pub(crate) fn bundle(act: &[&str]) -> Bundle {
    let mut bundle = Bundle::probe(act);
    let process = bundle.config["process"]["args"].clone();
    bundle.write_config();
    let mut give = Command::new("chown");
    give.args(["-hR", "65534:65534"]).arg(&bundle.dir);
    assert!(give.status().unwrap().success());
    call(&bundle, &["spec", "--rootless", "--file", "rootless.json"]).succeeded();
    let text = fs::read(bundle.dir.join("rootless.json")).unwrap();
    bundle.config = serde_json::from_slice(&text).unwrap();
    bundle
        .set("/process/terminal", json!(false))
        .set("/process/args", process);
    bundle
}
