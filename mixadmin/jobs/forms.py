from mixadmin.common.forms import ActionForm, Line


class DecisionForm(ActionForm):
    choice = Line(max_length=20)
    candidate = Line(max_length=100)
