"""The queue: every promise of bridge/broker and consumers/runtime.py, on the embedded queue and on RabbitMQ alike."""
