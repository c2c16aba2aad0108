"""Asks a vision-language model about pictures: any server that speaks the chat completions of OpenAI's interface.

`client.VlmClient` never raises for what a server does: an answer has a status. What the caller does wrong is refused.
"""
