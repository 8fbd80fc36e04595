package notify

import (
	"fmt"
	"reflect"
	"text/template"
	"text/template/parse"
)

// text/template finds an unknown field only when it gets there. So that a
// branch which is taken once a year is checked too, checkFields follows the
// parse tree and the types that dot can have.

// checkFields reports the first field that Data, or what is ranged over, does
// not have.
func checkFields(t *template.Template) error {
	root := reflect.TypeFor[Data]()
	for _, one := range t.Templates() {
		if one.Tree == nil || one.Tree.Root == nil {
			continue
		}
		// What is defined inside a file is called with some dot, known only
		// at the call: there every type of Data is allowed.
		dot := root
		if one.Name() != t.Name() {
			dot = nil
		}
		c := fieldChecker{root: root}
		if c.node(one.Tree.Root, dot); c.err != nil {
			return c.err
		}
	}
	return nil
}

type fieldChecker struct {
	root reflect.Type
	err  error
}

func (c *fieldChecker) node(n parse.Node, dot reflect.Type) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, one := range n.Nodes {
			c.node(one, dot)
		}
	case *parse.ActionNode:
		c.pipe(n.Pipe, dot)
	case *parse.IfNode:
		c.pipe(n.Pipe, dot)
		c.node(n.List, dot)
		c.node(n.ElseList, dot)
	case *parse.WithNode:
		inner := c.pipe(n.Pipe, dot)
		c.node(n.List, inner)
		c.node(n.ElseList, dot)
	case *parse.RangeNode:
		inner := c.pipe(n.Pipe, dot)
		if inner != nil && (inner.Kind() == reflect.Slice || inner.Kind() == reflect.Array || inner.Kind() == reflect.Map) {
			inner = inner.Elem()
		} else {
			inner = nil
		}
		c.node(n.List, inner)
		c.node(n.ElseList, dot)
	case *parse.TemplateNode:
		c.pipe(n.Pipe, dot)
	}
}

// pipe checks a pipeline and gives the type of its value where it is a plain
// field, nil where that isn't known.
func (c *fieldChecker) pipe(p *parse.PipeNode, dot reflect.Type) reflect.Type {
	if p == nil {
		return nil
	}
	var last reflect.Type
	for _, cmd := range p.Cmds {
		last = nil
		for _, arg := range cmd.Args {
			t := c.arg(arg, dot)
			if len(cmd.Args) == 1 {
				last = t
			}
		}
	}
	return last
}

func (c *fieldChecker) arg(n parse.Node, dot reflect.Type) reflect.Type {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.FieldNode:
		return c.fields(dot, n.Ident)
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			return c.fields(c.root, n.Ident[1:])
		}
		c.fields(nil, n.Ident[1:])
	case *parse.ChainNode:
		return c.fields(c.arg(n.Node, dot), n.Field)
	case *parse.PipeNode:
		return c.pipe(n, dot)
	}
	return nil
}

// fields follows names from a type; from nil, any type of Data will do for the
// first of them.
func (c *fieldChecker) fields(t reflect.Type, names []string) reflect.Type {
	for _, name := range names {
		if t == nil {
			t = anyWith(name)
			if t == nil {
				c.fail(name, "the data of a message")
				return nil
			}
		}
		next, ok := member(t, name)
		if !ok {
			c.fail(name, t.Name())
			return nil
		}
		t = next
	}
	return t
}

func (c *fieldChecker) fail(name, where string) {
	if c.err != nil {
		return
	}
	if where == "" {
		where = "this value"
	}
	c.err = fmt.Errorf("there is no field .%s in %s", name, where)
}

// member is the type of a field, or of a method's result.
func member(t reflect.Type, name string) (reflect.Type, bool) {
	if m, ok := t.MethodByName(name); ok && m.Type.NumOut() > 0 {
		return m.Type.Out(0), true
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	f, ok := t.FieldByName(name)
	if !ok || !f.IsExported() {
		return nil, false
	}
	return f.Type, true
}

func anyWith(name string) reflect.Type {
	for _, t := range []reflect.Type{reflect.TypeFor[Data](), reflect.TypeFor[Item](), reflect.TypeFor[Digest](), reflect.TypeFor[Studio]()} {
		if _, ok := member(t, name); ok {
			return t
		}
	}
	return nil
}
