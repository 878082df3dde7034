//! `checkpoint`: saves a running container to images.

use anyhow::anyhow;
use clap::{Arg, value_parser};

use super::arguments::Order;
use super::context::{boolean, path};
use super::criu::{self, text, word};
use super::usage::Count;
use super::{Call, Command};
use crate::container::{self, CheckpointOptions};

pub(super) const COMMAND: Command = Command {
    name: "checkpoint",
    about: "save a running container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Has criu save the container's processes to images, from which restore brings them back,\n\
             here or on another host. The container is deleted then, unless it is to go on. criu\n\
             writes dump.log.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = criu::flags();
    flags.extend([
        path("parent-path").help("images of a pre-dump, relative to the new ones"),
        boolean("pre-dump").help("save memory alone, ahead, and leave the container running"),
        boolean("leave-running").help("leave the container running"),
        boolean("tcp-skip-in-flight").help("leave out TCP connections that are being made"),
        text("page-server").help("send pages to criu's page server at ADDRESS:PORT"),
        Arg::new("status-fd")
            .long("status-fd")
            .allow_hyphen_values(true)
            .value_parser(value_parser!(i32))
            .help("write a zero byte to this descriptor when lazy pages can be asked for"),
    ]);
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let options = CheckpointOptions {
        images: criu::options(call)?,
        parent: call.path("parent-path"),
        pre_dump: call.flags.get_flag("pre-dump"),
        leave_running: call.flags.get_flag("leave-running"),
        tcp_skip_in_flight: call.flags.get_flag("tcp-skip-in-flight"),
        page_server: word(call, "page-server").map(page_server).transpose()?,
        status_fd: call
            .flags
            .get_one("status-fd")
            .copied()
            .filter(|fd| *fd >= 0),
    };
    container::checkpoint(&call.context(), &call.id()?, &options)?;
    Ok(0)
}

/// The texts are runc's.
fn page_server(word: &str) -> Result<(String, u16), anyhow::Error> {
    let parts = word.rsplit_once(':');
    let parts = parts.filter(|(address, port)| !address.is_empty() && !port.is_empty());
    let (address, port) =
        parts.ok_or_else(|| anyhow!("Use --page-server ADDRESS:PORT to specify page server"))?;
    let port = port.parse().map_err(|_| anyhow!("Invalid port number"))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Ok((address.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::page_server;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        assert_eq!(page_server("::1:27").unwrap(), ("::1".into(), 27));
        assert_eq!(page_server("[::1]:27").unwrap(), ("::1".into(), 27));
        for (word, said) in [
            (
                "host",
                "Use --page-server ADDRESS:PORT to specify page server",
            ),
            (
                ":27",
                "Use --page-server ADDRESS:PORT to specify page server",
            ),
            (
                "host:",
                "Use --page-server ADDRESS:PORT to specify page server",
            ),
            ("host:http", "Invalid port number"),
        ] {
            assert_eq!(page_server(word).unwrap_err().to_string(), said);
        }
    }
}
