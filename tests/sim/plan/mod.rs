//! What the clients of a world do, and what they find: pure data, and its generator.

pub mod draw;
pub mod scene;
pub mod step;

use draw::Draw;
use scene::Scene;

/// Draws a scene. `tls` permits worlds with TLS; most scenes have none all the same.
pub fn scene(draw: &mut Draw, tls: bool) -> Scene {
    let _ = (draw, tls);
    unimplemented!()
}
