//! Telling work that it is not wanted any more, from any thread.

use async_channel::{Receiver, Sender, bounded};

/// One flag, for everybody who holds a clone: not cancelled, then cancelled for good.
#[derive(Clone, Debug)]
pub struct CancelToken {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Default for CancelToken {
    fn default() -> Self {
        // Nothing is ever sent: closing is what wakes.
        let (sender, receiver) = bounded(1);
        CancelToken { sender, receiver }
    }
}

impl CancelToken {
    pub fn cancel(&self) {
        self.sender.close();
    }

    pub fn is_canceled(&self) -> bool {
        self.sender.is_closed()
    }

    /// Resolves when somebody cancels.
    pub async fn canceled(&self) {
        // Its own clone, because a receiver remembers who waits with it.
        let closed = self.receiver.clone().recv().await;
        debug_assert!(closed.is_err(), "nothing is ever sent");
    }

    /// Cancels when dropped.
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// See [`CancelToken::on_drop`].
#[derive(Debug)]
pub struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::CancelToken;

    #[test]
    fn everybody_hears_of_it_once_and_for_all() {
        let token = CancelToken::default();
        let other = token.clone();
        let guard = token.on_drop();
        assert!(!other.is_canceled());
        assert!(block_on(poll_once(other.canceled())).is_none());
        drop(guard);
        assert!(other.is_canceled());
        block_on(async { futures_util::join!(other.canceled(), token.canceled()) });
    }
}
