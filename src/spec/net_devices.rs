//! `linux.netDevices`: interfaces of the host that the container gets.

use std::collections::BTreeMap;
use std::ffi::CString;

use oci_spec::runtime::LinuxNetDevice;

use super::container::Namespaces;
use super::document::Object;
use super::error::{At, Error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    pub name: CString,
    /// What it is called in the container.
    pub inside: CString,
}

/// IFNAMSIZ less the NUL.
const LONGEST: usize = 15;

pub(super) fn convert(
    devices: Option<BTreeMap<String, Object<LinuxNetDevice>>>,
    namespaces: &Namespaces,
    at: At<'_>,
) -> Result<Vec<NetDevice>, Error> {
    let devices = devices.unwrap_or_default();
    // In runc's words.
    if !devices.is_empty() && !namespaces.network.is_apart("net") {
        return Err(at.fault("unable to move network devices without a private NET namespace"));
    }
    let mut converted: Vec<NetDevice> = Vec::with_capacity(devices.len());
    for (name, device) in &devices {
        let at = at.key(name);
        let other = device.name().as_ref().filter(|name| !name.is_empty());
        let name = convert_name(name).map_err(|reason| at.fault(reason))?;
        let inside = match other {
            Some(other) => convert_name(other).map_err(|r| at.key("name").fault(r))?,
            None => name.clone(),
        };
        if converted.iter().any(|device| device.inside == inside) {
            let inside = inside.to_string_lossy();
            return Err(at.fault(format_args!("another device is to be called {inside} too")));
        }
        converted.push(NetDevice { name, inside });
    }
    Ok(converted)
}

/// As dev_valid_name of the kernel.
fn convert_name(name: &str) -> Result<CString, String> {
    let reason = match name {
        "" | "." | ".." => "is no name of a network device".to_string(),
        _ if name.len() > LONGEST => format!("has more than {LONGEST} bytes"),
        _ => {
            let is_odd =
                |c: char| matches!(c, '/' | ':' | '\0' | '\u{b}') || c.is_ascii_whitespace();
            match name.chars().find(|c| is_odd(*c)) {
                Some(odd) => format!("has a {odd:?}, as no network device"),
                None => return Ok(CString::new(name).expect("just looked: no NUL")),
            }
        }
    };
    Err(format!("{name:?} {reason}"))
}
