//! Signature version 4 of a request, in the header `Authorization`.
//!
//! AWS's documentation, 'Create a signed AWS API request'. All headers that the request has by now are
//! signed, so it comes last.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::Credentials;
use crate::net::Request;
use crate::sys::time::Time;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

pub fn sign(
    request: Request,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: Time,
) -> Request {
    let date_time = now.whole_second().to_string().replace(['-', ':'], "");
    let date = date_time.split('T').next().unwrap_or_default().to_owned();
    let mut request = request.header("x-amz-date", date_time.clone());
    if let Some(token) = &credentials.session_token {
        request = request.header("x-amz-security-token", token.reveal());
    }

    let (canonical, signed) = canonical(&request, service);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{date_time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );

    let secret = format!("AWS4{}", credentials.secret.reveal());
    let key = [&date, region, service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let id = &credentials.access_key_id;
    let value = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    );
    request.header("authorization", value)
}

/// The request in the one form that both ends hash, and the names of the headers in it.
fn canonical(request: &Request, service: &str) -> (String, String) {
    let mut headers: Vec<(&str, String)> = request
        .headers()
        .map(|(name, value)| (name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    headers.push(("host", request.url.authority()));
    headers.sort();
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = [
        request.method.name(),
        &canonical_path(request.url.path(), service),
        &canonical_query(request.url.query().unwrap_or_default()),
        &lines,
        &names,
        &hex(&Sha256::digest(&request.body)),
    ]
    .join("\n");
    (canonical, names)
}

/// Each part is encoded once more, but for S3.
fn canonical_path(path: &str, service: &str) -> String {
    if service == "s3" {
        return path.to_owned();
    }
    let parts: Vec<String> = path.split('/').map(crate::net::url::encode).collect();
    parts.join("/")
}

/// Sorted by name, then by value; what is in an address is encoded already.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Secret;
    use crate::net::Method;

    fn credentials(id: &str, secret: &str, token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: id.into(),
            secret: Secret::new(secret),
            session_token: token.map(Secret::new),
            expires: None,
        }
    }

    fn signature(request: Request) -> String {
        let authorization = request.headers().find(|(name, _)| *name == "authorization");
        authorization
            .unwrap()
            .1
            .rsplit_once("Signature=")
            .unwrap()
            .1
            .to_owned()
    }

    fn request(method: Method, url: &str) -> Request {
        Request::new(method, url.parse().unwrap())
    }

    /// The keys, date, region and service of AWS's test suite for signature version 4.
    fn sign_as_the_suite(request: Request, token: Option<&str>) -> Request {
        let credentials = credentials(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token,
        );
        sign(
            request,
            &credentials,
            "us-east-1",
            "service",
            "2015-08-30T12:36:00Z".parse().unwrap(),
        )
    }

    #[test]
    fn requests_of_the_test_suite_are_signed_as_there() {
        const PLACE: &str = "https://example.amazonaws.com/";
        let get = |query: &str| request(Method::Get, &format!("{PLACE}{query}"));
        let post = || request(Method::Post, PLACE);
        let form = || {
            post()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("Param1=value1")
        };
        for (name, request, expected) in [
            (
                "get-vanilla",
                get(""),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                get("?Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                post(),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                post().header("my-header1", "value1"),
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-x-www-form-urlencoded",
                form(),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            assert_eq!(
                signature(sign_as_the_suite(request, None)),
                expected,
                "{name}"
            );
        }
    }

    /// The suite's `post-sts-header-before`.
    #[test]
    fn a_session_token_is_signed_too() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let signed = sign_as_the_suite(
            request(Method::Post, "https://example.amazonaws.com/"),
            Some(token),
        );
        assert_eq!(
            signature(signed.clone()),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
        assert!(!format!("{signed:?}").contains("AQoD"));
    }

    /// 'Example: GET Object' of the S3 API reference.
    #[test]
    fn a_request_to_s3_is_signed_as_documented() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = request(
            Method::Get,
            "https://examplebucket.s3.amazonaws.com/test.txt",
        )
        .header("range", "bytes=0-9")
        .header("x-amz-content-sha256", empty);
        let credentials = credentials(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
        );
        let signed = sign(
            request,
            &credentials,
            "us-east-1",
            "s3",
            "2013-05-24T00:00:00Z".parse().unwrap(),
        );
        let authorization = signed
            .headers()
            .find(|(name, _)| *name == "authorization")
            .unwrap()
            .1;
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }
}
