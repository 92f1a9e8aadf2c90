//! Who talks with whom: bridges, and transfers from one to another.

use super::{
    model::{Call, Model},
    text::Text,
};

impl Model {
    /// Connects a leg that answered with the one that dialed it.
    pub(super) fn bridge(&mut self, answered: &str, caller: &str) {
        let bridge = self.name_bridge();
        self.bridges.insert(bridge.clone(), Vec::new());
        self.tell("BridgeCreate", &[], |text| lines(text, "", &bridge, 0));
        self.enter(&bridge, answered);
        self.enter(&bridge, caller);
    }

    fn enter(&mut self, bridge: &str, id: &str) {
        let Some(members) = self.bridges.get_mut(bridge) else { return };
        members.push(id.to_owned());
        let (count, members) = (members.len(), members.clone());
        if let Some(channel) = self.channel_mut(id) {
            channel.bridge = Some(bridge.to_owned());
        }
        // Told as a leg of its own call yet; from here on all are of the oldest one, and nothing says so.
        self.tell_in("BridgeEnter", bridge, id, count);
        let legs = self.channels.iter().filter(|channel| members.contains(&channel.uniqueid));
        let oldest = legs.min_by_key(|channel| channel.linkedid_age()).map(|channel| channel.linkedid.clone());
        for channel in self.channels.iter_mut().filter(|channel| members.contains(&channel.uniqueid)) {
            oldest.iter().for_each(|oldest| channel.linkedid.clone_from(oldest));
        }
    }

    fn tell_in(&mut self, event: &str, bridge: &str, id: &str, count: usize) {
        let own = self.channel(id).map(|channel| channel.lines("")).unwrap_or_default();
        self.tell(event, &[], |text| lines(text, "", bridge, count).lines(own));
    }

    fn depart(&mut self, id: &str) -> Option<String> {
        let bridge = self.channel_mut(id)?.bridge.take()?;
        let members = self.bridges.get_mut(&bridge)?;
        members.retain(|member| member != id);
        let count = members.len();
        self.tell_in("BridgeLeave", &bridge, id, count);
        Some(bridge)
    }

    /// Takes a leg and whoever is with it out of their bridge; who that was.
    pub(super) fn unbridge(&mut self, id: &str) -> Vec<String> {
        let Some(bridge) = self.depart(id) else { return Vec::new() };
        let others = self.bridges.get(&bridge).cloned().unwrap_or_default();
        for other in &others {
            self.depart(other);
        }
        self.destroy(&bridge);
        others
    }

    fn destroy(&mut self, bridge: &str) {
        self.bridges.remove(bridge);
        self.tell("BridgeDestroy", &[], |text| lines(text, "", bridge, 0));
    }

    fn beside(&self, id: &str) -> Option<(String, String)> {
        let bridge = self.channel(id)?.bridge.clone()?;
        let other = self.bridges.get(&bridge)?.iter().find(|member| *member != id)?;
        Some((bridge.clone(), other.clone()))
    }

    pub(super) fn hold(&mut self, id: &str) {
        if self.channel(id).is_some() {
            self.tell("Hold", &[("", id)], |text| text);
        }
    }

    /// A blind transfer: the other one goes on with a dialplan of its own.
    pub(super) fn transfer(&mut self, call: &mut Call, id: &str, to: &str) {
        let Some((bridge, other)) = self.beside(id) else { return };
        self.tell("Unhold", &[("", id)], |text| text);
        let legs = [("Transferer", id), ("Transferee", other.as_str())];
        self.tell("BlindTransfer", &legs, |text| {
            let text = lines(text.line("Result", "Success"), "", &bridge, 2).line("IsExternal", "Yes");
            text.line("Context", super::channel::CONTEXT).line("Extension", to)
        });
        if let Some(channel) = self.channel_mut(&other) {
            to.clone_into(&mut channel.exten);
            channel.priority = 1;
        }
        self.depart(&other);
        self.depart(id);
        self.destroy(&bridge);
        call.truth.decided(id, crate::domain::state::Outcome::Completed, self.now_ms());
        self.gone(id, 16);
    }

    /// An attended transfer: two legs of one phone go, and those they talked with are connected.
    pub(super) fn connect(&mut self, call: &mut Call, first: &str, second: &str) {
        let (Some((old, other)), Some((new, target))) = (self.beside(first), self.beside(second)) else { return };
        self.tell("Unhold", &[("", first)], |text| text);
        self.tell("Unhold", &[("", second)], |text| text);
        self.depart(&other);
        self.depart(second);
        self.enter(&new, &other);
        let (one, two) = (self.channel(&other).cloned(), self.channel(&target).cloned());
        self.connected(&other, two);
        self.depart(first);
        self.connected(&target, one);
        self.tell("SoftHangupRequest", &[("", second)], |text| text.line("Cause", 1));
        let transferers = [("OrigTransferer", first), ("SecondTransferer", second)];
        let parties = [("Transferee", other.as_str()), ("TransferTarget", target.as_str())];
        self.tell("AttendedTransfer", &[transferers, parties].concat(), |text| {
            let text = lines(text.line("Result", "Success"), "Orig", &old, 2);
            let text = lines(text, "Second", &new, 2).line("IsExternal", "No").line("DestType", "Bridge");
            text.line("DestBridgeUniqueid", &new)
        });
        self.destroy(&old);
        call.truth.decided(first, crate::domain::state::Outcome::Completed, self.now_ms());
        self.gone(first, 16);
        self.tell("SoftHangupRequest", &[("", second)], |text| text.line("Cause", 16));
        self.gone(second, 16);
    }

    fn connected(&mut self, id: &str, with: Option<super::channel::Channel>) {
        if let (Some(channel), Some(with)) = (self.channel_mut(id), with) {
            channel.connected = with.party;
        }
        self.tell("NewConnectedLine", &[("", id)], |text| text);
    }
}

/// The lines that describe a bridge.
fn lines(text: Text, prefix: &str, bridge: &str, count: usize) -> Text {
    let line = |text: Text, key: &str, value: &str| text.line(&format!("{prefix}Bridge{key}"), value);
    let text = line(text, "Uniqueid", bridge);
    let text = line(line(text, "Type", "basic"), "Technology", "simple_bridge");
    let text = line(line(text, "Creator", super::text::UNKNOWN), "Name", super::text::UNKNOWN);
    line(line(text, "NumChannels", &count.to_string()), "VideoSourceMode", "none")
}
