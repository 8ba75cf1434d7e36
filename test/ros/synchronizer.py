"""Messages of several topics that belong together, by ``message_filters`` where it is installed, else as it does it."""

from types import SimpleNamespace

try:
    import message_filters
except ImportError:
    message_filters = None

__all__ = ["synchronize"]


def synchronize(node, topics, callback, *, qos, slop_s, queue_size=10):
    """Call back with a message of each topic whose stamps are as close as that; 0 for equal ones.

    Args:
        node: That subscribes.
        topics: Message type and name of each.
        callback: Takes a message of each topic, in their order.
        qos: Of all subscriptions.
        slop_s: Largest distance of stamps.
        queue_size: Messages that may wait on a topic.
    """
    if message_filters is not None:
        subscribers = [message_filters.Subscriber(node, kind, topic, qos_profile=qos) for kind, topic in topics]
        if slop_s:
            filtered = message_filters.ApproximateTimeSynchronizer(subscribers, queue_size, slop_s)
        else:
            filtered = message_filters.TimeSynchronizer(subscribers, queue_size)
        filtered.registerCallback(callback)
        return SimpleNamespace(subscribers=subscribers, filtered=filtered)
    return Synchronizer(node, topics, callback, qos=qos, slop_ns=round(slop_s * 1e9), queue_size=queue_size)


class Synchronizer:
    """Looks, for each message that comes, for the closest one of every other topic, and uses each once."""

    def __init__(self, node, topics, callback, *, qos, slop_ns, queue_size):
        self._callback, self._slop_ns, self._queue_size = callback, slop_ns, queue_size
        self._queues = [{} for _ in topics]
        for queue, (kind, topic) in zip(self._queues, topics, strict=True):
            node.create_subscription(kind, topic, lambda message, queue=queue: self._add(message, queue), qos)

    def _add(self, message, queue):
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        queue[stamp_ns] = message
        while len(queue) > self._queue_size:
            del queue[min(queue)]
        if not all(self._queues):
            return
        closest = [min(queue, key=lambda other_ns: abs(other_ns - stamp_ns)) for queue in self._queues]
        if max(closest) - min(closest) <= self._slop_ns:
            self._callback(*(queue.pop(found_ns) for queue, found_ns in zip(self._queues, closest, strict=True)))
