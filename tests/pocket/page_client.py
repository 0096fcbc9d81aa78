"""The page's own requests, sent as the browser sends them."""

import json

import requests
from websockets.sync.client import connect


class Page:
    """The page's description: components with the values they start with, and what their events send."""

    def __init__(self, url):
        self.url = url
        config = requests.get(f"{url}/config", timeout=300).json()
        self.components = {component["id"]: component["props"] for component in config["components"]}
        self.events = config["dependencies"]

    def id_of(self, elem_id):
        return next(number for number, props in self.components.items() if props.get("elem_id") == elem_id)

    def event_of(self, elem_id):
        """Number and description of what happens when a button is pressed: the most, where extensions listen, too."""
        button = self.id_of(elem_id)
        found = ((place, event) for place, event in enumerate(self.events) if button in event["targets"])
        return max(found, key=lambda each: (len(each[1]["inputs"]), len(each[1]["outputs"])))

    def press(self, elem_id, values, first=None):
        """Presses a button with some values changed by elem_id, and returns its outputs by elem_id."""
        number, event = self.event_of(elem_id)
        inputs = [self.components[component] for component in event["inputs"]]
        data = [values.get(props.get("elem_id"), _at_start(props)) for props in inputs]
        if first is not None:
            data[0] = first
        if elem_id == "img2img_generate":
            data[1] = data[1] or 0  # which of its tabs, as the page's script says
        request = {"fn_index": number, "session_hash": "test"}
        with connect(f"{self.url.replace('http', 'ws')}/queue/join", max_size=None) as socket:
            while True:
                message = json.loads(socket.recv(timeout=600))
                if message["msg"] == "send_hash":
                    socket.send(json.dumps(request))
                elif message["msg"] == "send_data":
                    socket.send(json.dumps({**request, "data": data}))
                elif message["msg"] == "process_completed":
                    break
        assert message["success"], message["output"]
        names = [self.components[component].get("elem_id") for component in event["outputs"]]
        return dict(zip(names, message["output"]["data"], strict=True))


def _at_start(props):
    """What a component sends that nobody touched; a choice of several without a value is an empty one."""
    value = props.get("value")
    return [] if value is None and props.get("multiselect") else value
