//! Any bytes, in any pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::{Input, Pipe, Server};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let pipe = Pipe::default();
    let mut server = Server::over(&pipe);
    while !input.is_used_up() {
        pipe.make_room(input.length());
        let length = input.length();
        pipe.give(input.take(length));
        server.shake_hands();
    }
    pipe.make_room(usize::MAX / 2);
    pipe.end();
    server.shake_hands();
    assert!(!server.is_established(), "nobody has shaken hands");
});
