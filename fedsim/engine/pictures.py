def draw_round(*a): pass
def draw_victim(*a): pass
