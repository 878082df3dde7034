//! AWS: who we are there, where a service is, and how a request says so.
//!
//! ```text
//! Variables ──▶ Provider (credentials, refreshed) ─┐
//!     └──────▶ region, endpoint ───────────────────┴▶ Service ──call──▶ JSON, or what AWS said
//! ```

mod credentials;
mod endpoint;
mod error;
mod profile;
pub mod program;
mod secret;
mod service;
pub mod sign;
mod variables;

pub use credentials::{Credentials, Provider};
pub use endpoint::{endpoint, region};
pub use error::Error;
pub use secret::Secret;
pub use service::Service;
pub use variables::Variables;
