//! Amazon's registries: a password from AWS, for who has credentials there.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::Login;
use crate::aws::{self, Provider, Service};
use crate::image::source::registry::{Access, Cause};
use crate::net::Client;

/// The region of `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]`, or of the host's dual-stack name
/// `ACCOUNT.dkr-ecr[-fips].REGION.on.aws`; `None` for every other host. `public.ecr.aws` has tokens for
/// anybody.
pub(super) fn region(host: &str) -> Option<&str> {
    let (account, rest) = host.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let prefixes = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."];
    let rest = prefixes
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let domains = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".on.aws",
        ".on.amazonwebservices.com.cn",
    ];
    let region = domains
        .iter()
        .find_map(|domain| rest.strip_suffix(domain))?;
    (is_account && !region.is_empty() && !region.contains('.')).then_some(region)
}

/// A password that serves for 12 hours. When it ends is not looked at: a registry that refuses it is
/// shown a new one, once.
pub(super) fn login(access: &Access, host: &str) -> Result<Option<Login>, Cause> {
    let Some(region) = region(host) else {
        return Ok(None);
    };
    let failed = |cause| Cause::Aws {
        host: host.into(),
        cause: Box::new(cause),
    };
    let endpoint = aws::endpoint(&access.aws, "ECR", "api.ecr", region).map_err(failed)?;
    let service = Service {
        client: Client::new(access.setup.clone()),
        provider: Arc::new(Provider::new(access.aws.clone())),
        region: region.into(),
        endpoint,
        name: "ecr",
        target: "AmazonEC2ContainerRegistry_V20150921",
    };
    const ACTION: &str = "GetAuthorizationToken";
    let reply = service.call(ACTION, &json!({})).map_err(failed)?;
    let token = reply["authorizationData"][0]["authorizationToken"].as_str();
    let login = token
        .and_then(|token| BASE64_STANDARD.decode(token).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| Login::parse(&text));
    let missing = || {
        failed(aws::Error::Reply {
            action: ACTION.into(),
            endpoint: service.endpoint.to_string(),
            why: "it has no authorizationToken".into(),
        })
    };
    login.map(Some).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_ecr_has_an_account_and_a_region() {
        for (host, expected) in [
            (
                "123456789012.dkr.ecr.us-east-1.amazonaws.com",
                Some("us-east-1"),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                Some("us-gov-west-1"),
            ),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", Some("eu-west-1")),
            ("public.ecr.aws", None),
            ("12345.dkr.ecr.us-east-1.amazonaws.com", None),
            (
                "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
                None,
            ),
            ("123456789012.dkr.ecr.a.b.amazonaws.com", None),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com:5000", None),
        ] {
            assert_eq!(region(host), expected, "{host}");
        }
    }
}
