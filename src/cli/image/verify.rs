//! `image verify`: is the store what it says.

use clap::Arg;

use super::super::arguments::Order;
use super::super::context::boolean;
use super::super::usage::Count;
use super::super::{Call, Command, output};
use super::{format_flag, store_flag};
use crate::image::layer::Form;
use crate::image::store::Report;

pub(super) const COMMAND: Command = Command {
    name: "image verify",
    about: "check every blob and layer of the store",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Hashes every blob, and makes every layer anew from its blob to compare it with its tree: names,\n\
             modes, owners, times, attributes and content. What is damaged is named, and the exit code is\n\
             1; \"image rm\" and another \"image pull\" mend it.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        store_flag(),
        format_flag(),
        boolean("blobs").help("hash the blobs, and leave the trees alone"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let store = call.store_to_change()?;
    let unpacking = call.unpacking(Form::Overlay)?;
    let trees = (!call.flags.get_flag("blobs")).then_some(&unpacking);
    let report = store.verify(&store.using()?, trees)?;
    let text = match call.wants_json() {
        true => serde_json::to_string(&report)? + "\n",
        false => words(&report),
    };
    output::print(&text)?;
    match report.damage.len() {
        0 => Ok(0),
        count => anyhow::bail!("{count} things in {} are damaged", store.path().display()),
    }
}

fn words(report: &Report) -> String {
    let mut text: String = report
        .damage
        .iter()
        .map(|damage| format!("{}: {}\n", damage.path, damage.fault))
        .collect();
    text += &format!(
        "{} images, {} blobs, {} layers: ",
        report.images, report.blobs, report.layers
    );
    text += match report.damage.is_empty() {
        true => "all as they should be\n",
        false => "not as they should be\n",
    };
    text
}
