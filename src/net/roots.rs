//! The certificates that servers' are checked by: the system's, and files of the user's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Cause;
use super::client::Verification;

/// How HTTPS is spoken. Called at the first request that needs it: a machine without certificates can
/// still speak HTTP to itself.
pub(super) fn tls(files: &[PathBuf], verification: Verification) -> Result<TlsConfig, Cause> {
    let roots = match verification {
        Verification::Full => {
            let mut roots = system().to_vec();
            for file in files {
                roots.extend(read(file)?);
            }
            if roots.is_empty() {
                return Err(Cause::NoRoots);
            }
            roots
        }
        Verification::None => Vec::new(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .disable_verification(verification == Verification::None)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// Read once in a process. A file of them that cannot be read is none: where another has what is
/// needed the request succeeds, and where none has it fails.
fn system() -> &'static [Certificate<'static>] {
    static SYSTEM: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            log::debug!("certificates of the system: {error}");
        }
        let owned = found.certs.iter();
        owned
            .map(|der| Certificate::from_der(der.as_ref()).to_owned())
            .collect()
    })
}

fn read(path: &Path) -> Result<Vec<Certificate<'static>>, Cause> {
    let error = |why: String| Cause::Roots {
        path: path.into(),
        why,
    };
    let text = fs::read(path).map_err(|cause| error(cause.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|cause| error(cause.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(error("there is none in it".into()));
    }
    Ok(found)
}
