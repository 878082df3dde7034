//! AWS: who we are there, and how a request says so.
