//! `hooks`: programs of the host that are run at six points of a container's life.

use std::time::Duration;

use oci_spec::runtime as oci;

use super::container::{Hook, Hooks};
use super::document::{self, Object, Objects};
use super::error::{At, Error};
use super::process::check_variable;
use super::units::AbsPath;

pub(super) fn convert(hooks: Option<document::Hooks>) -> Result<Hooks, Error> {
    let Some(hooks) = hooks else {
        return Ok(Hooks::default());
    };
    Ok(Hooks {
        prestart: convert_point(hooks.prestart, "prestart")?,
        create_runtime: convert_point(hooks.create_runtime, "createRuntime")?,
        create_container: convert_point(hooks.create_container, "createContainer")?,
        start_container: convert_point(hooks.start_container, "startContainer")?,
        poststart: convert_point(hooks.poststart, "poststart")?,
        poststop: convert_point(hooks.poststop, "poststop")?,
    })
}

fn convert_point(list: Objects<oci::Hook>, point: &str) -> Result<Vec<Hook>, Error> {
    let at = At::Top.key("hooks");
    let at = at.key(point);
    let list = list.unwrap_or_default();
    let mut hooks = Vec::with_capacity(list.len());
    for (index, hook) in list.iter().enumerate() {
        hooks.push(convert_one(hook, at.index(index))?);
    }
    Ok(hooks)
}

fn convert_one(hook: &Object<oci::Hook>, at: At<'_>) -> Result<Hook, Error> {
    let path = hook.path();
    AbsPath::new(path).map_err(|reason| at.key("path").fault(reason))?;

    let args = match hook.args() {
        Some(args) if !args.is_empty() => args.clone(),
        _ => vec![path.display().to_string()],
    };
    let arguments = at.key("args");
    if let Some(index) = args.iter().position(|arg| arg.contains('\0')) {
        return Err(arguments.index(index).fault("contains a NUL byte"));
    }
    let env = hook.env().clone().unwrap_or_default();
    let variables = at.key("env");
    for (index, entry) in env.iter().enumerate() {
        check_variable(entry).map_err(|reason| variables.index(index).fault(reason))?;
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
            _ => {
                let reason = format_args!("{seconds} seconds are not more than 0");
                return Err(at.key("timeout").fault(reason));
            }
        },
    };
    Ok(Hook {
        path: path.clone(),
        args,
        env,
        timeout,
    })
}
