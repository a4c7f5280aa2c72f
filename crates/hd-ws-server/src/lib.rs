//! Socket.IO and Engine.IO server on hyper, tokio and tungstenite
