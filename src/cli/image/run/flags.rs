//! The flags of `image run`, in Docker's words.

use anyhow::bail;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction};

use super::super::taking;
use crate::cli::Call;
use crate::cli::context::boolean;

/// One dash and several letters, as everybody writes them.
const JOINED: [&str; 12] = [
    "it", "ti", "id", "di", "td", "dt", "itd", "idt", "tid", "tdi", "dit", "dti",
];

pub(super) fn flags() -> Vec<Arg> {
    let choice = |name, values: &[&'static str]| {
        value(name).value_parser(PossibleValuesParser::new(values.to_vec()))
    };
    let mut flags = taking::flags();
    flags.extend(taking::registry_flags());
    flags.extend([
        list("env")
            .short('e')
            .help("NAME=VALUE in the environment; NAME alone is as the caller has it"),
        list("env-file").help("read variables from this file, one a line"),
        list("volume")
            .short('v')
            .help("SOURCE:TARGET[:ro,rslave,…]: show a path of the host, which must be there"),
        list("mount").help("type=bind,source=…,target=…[,readonly], or type=tmpfs,target=…"),
        list("tmpfs").help("TARGET[:OPTION,…]: a file system in memory"),
        value("workdir")
            .short('w')
            .help("working directory (default: the image's)"),
        value("user")
            .short('u')
            .help("user[:group] by name or number (default: the image's)"),
        value("entrypoint").help("the program, instead of the image's entrypoint"),
        value("memory").short('m').help("limit of memory, as 512m"),
        value("memory-swap")
            .help("limit of memory and swap together, or -1 for none (default: twice --memory)"),
        value("cpus").help("how many processors' time, as 1.5, of those that are there"),
        value("cpu-shares").help("share of the processors' time against others (default: 1024)"),
        value("pids-limit").help("limit of processes and threads, or -1 for none"),
        list("ulimit").help("NAME=SOFT[:HARD], as nofile=1024"),
        boolean("read-only").help("make the root read-only"),
        list("cap-add").help("add a capability, or ALL"),
        list("cap-drop").help("take a capability away, or ALL"),
        value("seccomp")
            .help("file with linux.seccomp of the OCI or a profile of Docker's, or unconfined"),
        choice("network", &["none", "host"]).help("none (default) or host"),
        value("hostname")
            .short('h')
            .help("name of the machine inside (default: the container's)"),
        list("label")
            .short('l')
            .help("KEY=VALUE among the annotations"),
        value("stop-signal").help("the signal that asks it to end (default: the image's, or TERM)"),
        value("name").help("name of the container (default: twelve letters)"),
        boolean("rm").help("delete a detached container when it has ended"),
        boolean("keep").help("keep the container after its end in the foreground"),
        boolean("detach")
            .short('d')
            .help("leave it running, and print its name; what it writes is not kept"),
        boolean("interactive")
            .short('i')
            .help("pass the standard input on"),
        boolean("tty").short('t').help("give it a terminal"),
        choice("pull", &["missing", "always", "never"])
            .help("when to take the image (default: missing)"),
        // What is refused with its reason.
        list("publish").short('p').hide(true),
        boolean("publish-all").short('P').hide(true),
        boolean("privileged").hide(true),
    ]);
    flags.extend(JOINED.map(|letters| boolean(letters).hide(true)));
    flags
}

fn value(name: &'static str) -> Arg {
    Arg::new(name).long(name)
}

fn list(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append)
}

/// What other programs of this kind have and this one has not, and what contradicts itself.
pub(super) fn refuse(call: &Call) -> Result<(), anyhow::Error> {
    if call.flags.get_flag("rm") && call.flags.get_flag("keep") {
        bail!("--rm, --keep: one deletes the container when it ends, the other does not");
    }
    if call.has_letter("detach", 'd') && call.has_letter("tty", 't') {
        bail!(
            "-d, -t: nobody would hold the other end of a detached container's terminal; leave out -t, or \
             run it without -d from a terminal that stays, as in tmux(1)"
        );
    }
    if call.has_words("publish") || call.flags.get_flag("publish-all") {
        bail!(
            "--publish: a container has no network of its own that ports could be published from; with \
             --network host its ports are the host's"
        );
    }
    if call.flags.get_flag("privileged") {
        bail!(
            "--privileged is not supported: a container with all the power of the host's root is none; \
             give it what it needs by --cap-add, --volume and --seccomp"
        );
    }
    Ok(())
}

impl Call {
    /// The word of a flag that is given once.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.flags.get_one::<String>(name).map(String::as_str)
    }

    /// The words of a flag that may be repeated, in their order.
    pub(super) fn words<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let words = self.flags.get_many::<String>(name);
        words.into_iter().flatten().map(String::as_str)
    }

    fn has_words(&self, name: &str) -> bool {
        self.words(name).next().is_some()
    }

    /// Whether one of the letters in flags such as `-it` is given.
    pub(super) fn has_letter(&self, name: &str, letter: char) -> bool {
        let is_in = |flag: &str| flag.contains(letter) && self.flags.get_flag(flag);
        self.flags.get_flag(name) || JOINED.iter().any(|flag| is_in(flag))
    }
}
