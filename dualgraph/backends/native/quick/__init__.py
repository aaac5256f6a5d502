"""The quick path: eager ops whose plan is known, run natively from the call to the tape entry.

Most modules are glue (see `native.glue`): functions in a subset of Python that are compiled. What they do is also
written in Python proper (`eager.dispatch`), which is the definition and takes each call that they decline.

    calls       where Python comes in: begin here                install (puts the glue in place), probe (its check)
    apply       elementwise ops, by plans                        spread (broadcasting), store (in place), plans (tables)
    follow      other ops, by recipes                            keys (how they are found), data (elements of results)
    recipes     how recipes are learnt                           recipe (their record)
    composites  calls of composites, by one program each         composing (when there is one)
    updates     likewise, of functions that write            updating (when there is one)
    programs    of single ops that are called often              lying (their operands)
    runs        how programs run without Python                  run_words (their records)
    items       ``x[key]``                                       match (of a tape and a template)
    tape        new tensors and tape entries                     place, place_slow (the user's line), objects (tuples)
    memory      the caching allocator                            blocks (its state, as Python sees it)
"""
