//! Where a service is.

use super::profile::Profile;
use super::{Error, Variables};
use crate::net::Url;

/// `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's.
pub fn region(variables: &Variables) -> Result<String, Error> {
    let set = variables
        .get("AWS_REGION")
        .or(variables.get("AWS_DEFAULT_REGION"));
    if let Some(region) = set {
        return checked(region);
    }
    let profile = Profile::read(variables)?;
    match profile.get("region") {
        Some(region) => checked(region),
        None => Err(Error::NoRegion {
            profile: profile.name,
        }),
    }
}

/// It becomes part of a host's name.
fn checked(region: &str) -> Result<String, Error> {
    let fits = region
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits && !region.is_empty() {
        return Ok(region.into());
    }
    Err(Error::Variable {
        variable: "AWS_REGION".into(),
        why: format!("{region:?} is not the name of a region"),
    })
}

/// `AWS_ENDPOINT_URL_ID`, `AWS_ENDPOINT_URL`, the profile's `endpoint_url`, or where AWS has it: the host
/// `prefix` in the region. `id` is the service's name in such variables: `ECR`, `CLOUDWATCH_LOGS`.
pub fn endpoint(variables: &Variables, id: &str, prefix: &str, region: &str) -> Result<Url, Error> {
    let specific = format!("AWS_ENDPOINT_URL_{id}");
    let names = [specific.as_str(), "AWS_ENDPOINT_URL"];
    let is_ignored = variables.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if let Some((name, url)) = names
        .iter()
        .find_map(|name| Some((*name, variables.get(name)?)))
        .filter(|_| !is_ignored)
    {
        return parse(name, url);
    }
    let profile = Profile::read(variables)?;
    if let Some(url) = profile.get("endpoint_url").filter(|_| !is_ignored) {
        return parse("endpoint_url", url);
    }
    // The partitions of China have a domain of their own.
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    parse(
        "AWS_REGION",
        &format!("https://{prefix}.{region}.{domain}/"),
    )
}

fn parse(variable: &str, url: &str) -> Result<Url, Error> {
    let whole = if url.ends_with('/') {
        url.to_owned()
    } else {
        format!("{url}/")
    };
    whole.parse().map_err(|error| Error::Variable {
        variable: variable.into(),
        why: format!("{error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_where_the_most_specific_word_says() {
        let place = |variables: Variables, region| {
            endpoint(&variables, "ECR", "api.ecr", region)
                .unwrap()
                .to_string()
        };
        assert_eq!(
            place(Variables::from([]), "eu-west-1"),
            "https://api.ecr.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            place(Variables::from([]), "cn-north-1"),
            "https://api.ecr.cn-north-1.amazonaws.com.cn/"
        );
        let (general, own) = (
            ("AWS_ENDPOINT_URL", "http://localhost:1"),
            ("AWS_ENDPOINT_URL_ECR", "http://localhost:2"),
        );
        assert_eq!(
            place(Variables::from([general]), "x"),
            "http://localhost:1/"
        );
        assert_eq!(
            place(Variables::from([general, own]), "x"),
            "http://localhost:2/"
        );
        let ignored = Variables::from([own, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]);
        assert_eq!(place(ignored, "x"), "https://api.ecr.x.amazonaws.com/");
    }

    #[test]
    fn a_region_is_of_letters() {
        let of = |value| region(&Variables::from([("AWS_REGION", value)]));
        assert_eq!(of("eu-west-1").unwrap(), "eu-west-1");
        assert!(of("evil.example/").is_err());
        let none = region(&Variables::from([])).unwrap_err().to_string();
        assert!(none.contains("AWS_REGION"), "{none}");
    }
}
