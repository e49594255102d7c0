import schemathesis


@schemathesis.hook
def filter_body(context, body):
    """To JSON Schema 1.0 is an integer, and to Portcullis a fraction, whatever comes behind the point."""
    return not has_fraction(body)


def has_fraction(value):
    if isinstance(value, dict):
        return any(map(has_fraction, value.values()))
    if isinstance(value, list):
        return any(map(has_fraction, value))
    return isinstance(value, float)
